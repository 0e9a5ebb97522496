"""The scorer `word_list`: 1 where an entry stands in a text as whole words, else 0.

Covers curation.scorers.word_list.
"""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow.parquet import read_table

from curation.scorers import Scorer, card_of, load_scorer, weights_of
from curation.scorers.options import EnsembleSpec, ProfanitySpec, WordListSpec
from curation.scoring.unscored import why_unscored
from curation.taggers import TAGGERS, make_tagger
from infra.config.spec import from_settings
from infra.errors import ConfigError, InputError
from tests.helpers.corpora import Curate, write_jsonl

WORDS = ("idiot", "Son of a  bitch", "ass", "c++", "@name", "straße", "café", "गधा", ":-(")


def score_of(scorer: Scorer, text: str) -> float:
    ((score,),) = scorer.score([text]).tolist()
    return score


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return load_scorer(WordListSpec(words=WORDS))


@pytest.mark.parametrize(
    "text",
    ["You IDIOT!", "idiot", "idiot's", "an ass-hat", "son of a bitch", "you SON\tOF\u00a0A\n\nBITCH.", "in c++ or so",
     "ask @name.", "me@name", "STRASSE 5", "cafe\u0301 noir", "CAFÉ", "तू गधा है", "oh:-(", "ass ass"],
)  # fmt: skip
def test_a_listed_word_or_phrase_scores_1(scorer: Scorer, text: str) -> None:
    assert score_of(scorer, text) == 1


@pytest.mark.parametrize(
    "text",
    ["", " ", "class", "asses", "ass_", "ass1", "1ass", "idiotic", "son of abitch", "son of a bitchy", "sonof a bitch",
     "son, of a bitch", "abc++", "c+ +", "@names", "name", "cafe", "cafés", "गधाा", "assé", "ass\u0301", "a fine day"],
)  # fmt: skip
def test_anything_else_scores_0(scorer: Scorer, text: str) -> None:
    assert score_of(scorer, text) == 0


def normal(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text.casefold()).split())


def in_word(character: str) -> bool:
    return character.isalnum() or character == "_" or unicodedata.category(character)[:1] == "M"


def occurs(entry: str, text: str) -> bool:
    """By the definition, at every position."""
    entry, text = normal(entry), normal(text)
    for start in range(len(text) - len(entry) + 1):
        end = start + len(entry)
        joined_before = start > 0 and in_word(text[start - 1]) and in_word(entry[0])
        joined_after = end < len(text) and in_word(text[end]) and in_word(entry[-1])
        if text[start:end] == entry and not joined_before and not joined_after:
            return True
    return False


SIGNS, ASCII = "aAbß+@_1² \n\u00a0é\u0301िक", "aAb+@_1 \n"
TEXTS = st.text(SIGNS, max_size=14) | st.text(ASCII, max_size=14)
ENTRIES = (st.text(SIGNS, max_size=5) | st.text(ASCII, max_size=5)).filter(str.strip)


@given(st.lists(ENTRIES, min_size=1, max_size=6), TEXTS)
def test_a_text_scores_1_where_an_entry_stands_in_it_by_the_definition(entries: list[str], text: str) -> None:
    scorer = load_scorer(WordListSpec(words=tuple(entries)))
    assert score_of(scorer, text) == any(occurs(entry, text) for entry in entries)


@given(st.lists(ENTRIES, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_order_case_and_repetitions_do_not_change_the_weights(entries: list[str], random: Any) -> None:
    other = [entry.upper() if entry.upper().casefold() == entry.casefold() else entry for entry in entries * 2]
    random.shuffle(other)
    assert weights_of(WordListSpec(words=tuple(other))) == weights_of(WordListSpec(words=tuple(entries)))


def test_other_words_and_another_attribute_are_other_weights() -> None:
    words, more = WordListSpec(words=("fool",)), WordListSpec(words=("fool", "idiot"))
    named = WordListSpec(words=("fool",), attribute="insult")
    assert len({weights_of(spec) for spec in (words, more, named)}) == 3
    assert load_scorer(words).identity == f"word_list@{weights_of(words)[:12]}"
    assert load_scorer(named).attributes == ("insult",)


def test_a_list_is_the_same_in_a_file_wherever_that_is(tmp_path: Path) -> None:
    inline = WordListSpec(words=("fool", "shut up"))
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text("# a remark\nShut  up\n\nFOOL\n")
        written = WordListSpec(path=str(tmp_path / name))
        assert weights_of(written) == weights_of(inline) and written.identity() == inline.identity()
    assert score_of(load_scorer(written), "Shut up!") == 1


@pytest.mark.parametrize(
    ("settings", "told"),
    [([], "list words under `words`, or give a file of them as `path`: one of the two"),
     (["words=[fool]", "path=words.txt"], "one of the two"),
     (["words=[]"], "words: .*at least 1 item"),
     (["words=[fool, ' ']"], r"words\[1\]: .*an entry is a word or phrase"),
     (['words=["fo\\0ol"]'], r"words\[0\]: .*without NUL"),
     (["words=fool"], "words: .*should be a valid (tuple|list)"),
     (["words=[fool]", "attribute=''"], "attribute: .*at least 1 character")],
    ids=["no list", "two lists", "an empty list", "an empty entry", "NULs", "no list but a word", "no attribute"],
)  # fmt: skip
def test_a_section_without_one_list_of_words_is_one_problem(settings: list[str], told: str) -> None:
    with pytest.raises(ConfigError, match=told) as caught:
        from_settings(WordListSpec, ["name=word_list", *settings])
    assert len(caught.value.problems) == 1


def test_a_file_without_words_is_refused_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("# nothing\n\n")
    for refused in (load_scorer, weights_of):
        with pytest.raises(InputError, match=r"words.txt: no word is listed"):
            refused(WordListSpec(path=str(tmp_path / "words.txt")))


def test_texts_in_any_language_are_scored_unless_the_list_is_said_to_be_of_some(scorer: Scorer) -> None:
    assert why_unscored("zxqv слово zxqv", scorer) == ""
    assert card_of(WordListSpec(words=WORDS)).languages == ()
    assert card_of(WordListSpec(words=WORDS, languages=("en",))).languages == ("en",)
    assert "not meaning" in card_of(WordListSpec(words=WORDS)).blind_spots


def test_in_an_ensemble_the_other_members_still_say_what_they_cannot_read() -> None:
    both = load_scorer(EnsembleSpec(scorers=(WordListSpec(words=("fool",)), ProfanitySpec()), combine="max"))
    assert score_of(both, "A fool reads a book.") == 1 > score_of(both, "A man reads a book.")
    assert why_unscored("zxqv zxqw zxqx zxqy", both) == "words unknown to the scorer"


@pytest.mark.parametrize(("tagger", "marked"), [("words", ["fool"]), ("sentences", ["You fool!", "Shut up."])])
def test_taggers_mark_listed_words_and_the_sentences_that_hold_them(tagger: str, marked: list[str]) -> None:
    section = {"name": tagger, "scorer": {"name": "word_list", "words": ["fool", "shut up"]}}
    text = "A fine day. You fool! Shut up."
    (spans,) = make_tagger(TAGGERS.get(tagger).options.model_validate(section)).tag([text])
    assert [text[span.start : span.end] for span in spans] == marked


def test_a_curation_reads_the_list_beside_its_file(tmp_path: Path, curate: Curate) -> None:
    write_jsonl(tmp_path / "a.jsonl", [{"text": "Ada Lovelace wrote it."}, {"text": "Nobody wrote it."}])
    (tmp_path / "names.txt").write_text("lovelace\n")
    step = {"step": "score", "scorer": {"name": "word_list", "path": "names.txt", "attribute": "named"}}
    artifact = curate({"path": "a.jsonl"}, steps=[step])
    rows = read_table(artifact.path / "corpora").to_pylist()
    assert [dict(row["scores"])["named"] for row in rows] == [1, 0]
