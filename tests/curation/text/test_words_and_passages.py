"""Words, passages and the word tagger: offsets that hold for any text.

Covers curation.text.passages, curation.text.spans, curation.text.words and curation.taggers.words.
"""

from __future__ import annotations

import gzip
import itertools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.scorers import load_scorer
from curation.scorers.options import ProfanitySpec
from curation.sources.synthetic.threads import make_thread
from curation.taggers import TAGGERS, make_tagger
from curation.taggers.options import WordsSpec
from curation.text.passages import passages
from curation.text.words import word_spans
from tests.helpers import SHARED
from tests.helpers.corpora import SENTENCES

ANY_TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=300)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("You idiot!", ["You", "idiot"]),
        ("don't, dumb-ass; sh*t", ["don't", "dumb-ass", "sh*t"]),
        ("@ss 😀 naïve 東京", ["@ss", "naïve", "東京"]),
        ("'quoted' --", ["quoted"]),
        ("", []),
    ],
)
def test_words_are_cut_at_what_is_no_part_of_them(text: str, words: list[str]) -> None:
    assert [text[start:end] for start, end in word_spans(text)] == words


@given(ANY_TEXT)
def test_word_spans_are_ordered_apart_inside_the_text_and_hold_every_letter(text: str) -> None:
    spans = word_spans(text)
    assert all(0 <= start < end <= len(text) for start, end in spans)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans))
    covered = {position for start, end in spans for position in range(start, end)}
    assert all(position in covered for position, letter in enumerate(text) if letter.isalnum())


@given(ANY_TEXT, st.integers(5, 50))
def test_passages_lose_no_visible_character_and_keep_to_their_length(text: str, longest: int) -> None:
    pieces = list(passages(text, longest))
    assert pieces and all(len(piece) <= longest for piece in pieces)
    if text.strip():
        assert "".join("".join(pieces).split()) == "".join(text.split())


def test_a_long_line_is_cut_at_the_end_of_a_sentence() -> None:
    pieces = passages("One is short. Two is short. Three.\nFour", 30)
    assert list(pieces) == ["One is short. Two is short.", "Three.", "Four"]


def test_each_tagger_is_found_by_the_name_of_its_file() -> None:
    assert "words" in TAGGERS.names()


def test_the_floor_decides_which_words_get_a_span_and_scores_are_those_of_the_words_alone() -> None:
    scorer = load_scorer(ProfanitySpec())
    text = "The idiot went home, the idiot came back. Kill the lights."
    for floor in (0.05, 0.5, 0.97):
        (spans,) = make_tagger(WordsSpec(scorer=ProfanitySpec(), keep_at_or_above=floor)).tag([text])
        alone = {text[s:e]: float(scorer.score([text[s:e]])[0, 0]) for s, e in word_spans(text)}
        expected = [(s, e, alone[text[s:e]]) for s, e in word_spans(text) if alone[text[s:e]] >= floor]
        assert [(span.start, span.end, span.score) for span in spans] == expected
    assert [text[span.start : span.end] for span in spans] == ["idiot", "idiot"]


def test_the_word_tagger_finds_the_gold_clauses_of_the_synthetic_forum() -> None:
    """Measured .97: precision over tagged words, recall over clauses (a clause counts as found by any of its words)."""
    threads = [make_thread([SENTENCES[i : i + 4] for i in range(0, 64, 4)], 0, number, 0.5) for number in range(200)]
    tagger = make_tagger(WordsSpec(scorer=ProfanitySpec()))
    inside = recalled = clauses = tagged = 0
    for thread, spans in zip(threads, tagger.tag([thread.text for thread in threads]), strict=True):
        starts_of_tags = [span.start for span in spans if span.score >= 0.5]
        gold = thread.metadata["gold_spans"]
        tagged += len(starts_of_tags)
        inside += sum(any(start <= start_of_tag < end for start, end in gold) for start_of_tag in starts_of_tags)
        clauses += len(gold)
        recalled += sum(any(start <= start_of_tag < end for start_of_tag in starts_of_tags) for start, end in gold)
    precision, recall = inside / tagged, recalled / clauses
    assert 2 * precision * recall / (precision + recall) > 0.9


@pytest.mark.skipif(not SHARED.is_dir(), reason="real toxic spans lie in ../shared/data, which is not here")
def test_the_word_tagger_finds_real_toxic_spans() -> None:
    """SemEval-2021 trial set, F1 over characters averaged over texts, as the task scores it; measured about .58."""
    (file,) = (SHARED / "data/toxic_spans").glob("semeval2021_trial*")
    with gzip.open(file, "rt") as lines:
        rows = [json.loads(line) for line in lines]
    tagger = make_tagger(WordsSpec(scorer=ProfanitySpec()))
    scores = []
    for row, spans in zip(rows, tagger.tag([row["text"] for row in rows]), strict=True):
        guess = {offset for span in spans if span.score >= 0.5 for offset in range(span.start, span.end)}
        gold = set(row["spans"])
        shared = len(guess & gold)
        scores.append(2 * shared / (len(guess) + len(gold)) if guess or gold else 1.0)
    assert np.mean(scores) > 0.5
