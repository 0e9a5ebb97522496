"""1 MB of what makes an expression go back and forth: every step, tagger and reader takes time linear in the text.

Covers curation.text.sentences, curation.text.word_tokenizer, curation.steps.pii and curation.steps.cascade.

The oracles are the expressions that were used before, which are right and slow.
"""

from __future__ import annotations

import html
import re
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from datatrove.data import Document
from datatrove.pipeline.formatters import PIIFormatter
from hypothesis import given
from hypothesis import strategies as st

from curation.corpus.documents import as_datatrove
from curation.corpus.records import RawDocument
from curation.scorers import load_scorer, loaded_scorer
from curation.scorers.options import WordListSpec
from curation.sources.extract import UnreadableError, plain, text_of_html
from curation.steps import STEPS
from curation.taggers import TAGGERS, make_tagger
from curation.text.passages import passages, stretches
from curation.text.sentences import sentence_spans
from infra.atomic import write_json
from tests.helpers.hostile_texts import PROFANITY, SHAPES, SIZE

MARKS = ("dots", "quotes", "apostrophes", "brackets", "open tags", "references", "reference", "data")
"""What spaCy, which the steps of MARKED take words from, is slow at; it needs a second for any other 1 MB."""


def applied(name: str, **options: Any) -> Callable[[str], object]:
    """The step on one text, in this process."""
    kind = STEPS.get(name)
    made = kind(kind.options(step=name, **options))
    context: Any = SimpleNamespace(removed=SimpleNamespace(remove=lambda *removed: None))
    return lambda text: list(made.apply(iter([Document(text, "id")]), context, 0))


def tagged(name: str) -> Callable[[str], object]:
    tagger = make_tagger(TAGGERS.get(name).options.model_validate({"name": name, "scorer": PROFANITY}))
    return lambda text: tagger.tag([text])


def listed() -> Callable[[str], object]:
    scorer = load_scorer(WordListSpec(words=("a.b", "...!", "1 1", "<b>!", "@@x")))
    return lambda text: scorer.score([text])


def scored() -> Callable[[str], object]:
    options: Any = TAGGERS.get("words").options.model_validate({"name": "words", "scorer": PROFANITY})
    return lambda text: loaded_scorer(options.scorer).score([text])


MARKED = ("c4_quality", "gopher_quality", "gopher_repetition", "fineweb_quality")
WORK: dict[str, Callable[[], Callable[[str], object]]] = {
    "pii": lambda: applied("pii"),
    "regex": lambda: applied("regex", regex_exp="secret"),
    "c4_quality": lambda: applied("c4_quality"),
    "gopher_quality": lambda: applied("gopher_quality"),
    "gopher_repetition": lambda: applied("gopher_repetition"),
    "fineweb_quality": lambda: applied("fineweb_quality"),
    "tagger sentences": lambda: tagged("sentences"),
    "tagger words": lambda: tagged("words"),
    "scorer profanity": scored,
    "scorer word_list": listed,
    "html": lambda: text_of_html,
    "passages": lambda: lambda text: list(passages(text, 200)),
    "stretches": lambda: lambda text: list(stretches(text, 200)),
}


@pytest.mark.parametrize("name", WORK)
def test_a_megabyte_of_any_shape_takes_under_two_seconds(name: str) -> None:
    work = WORK[name]()
    work("A text, so that what is loaded once is loaded.")

    def took(shape: str) -> float:
        started = time.process_time()
        work(SHAPES[shape])
        return time.process_time() - started

    # a second look, as other work on the machine slows down the processor itself; what is quadratic takes minutes
    slow = [shape for shape in (MARKS if name in MARKED else SHAPES) if took(shape) > 2 and took(shape) > 2]
    assert not slow


UNREADABLE = {
    "NULs": "\0" * SIZE, "NULs between letters": "a\0" * (SIZE // 2), "NULs behind a text": f"A text.{chr(0) * SIZE}",
    "unknown words": "zxqv " * (SIZE // 5), "another alphabet": "слово " * (SIZE // 6),
}  # fmt: skip
"""Texts of 1 MB that no scorer can tell anything about."""


def cascade(folder: Path, removed: list[str]) -> Callable[[str], list[Document]]:
    """The step `cascade` behind its survey, which drew nothing; reasons of what it removes go to `removed`."""
    write_json(folder / "gate.json", {"threshold": 0.5, "surveyed": 0, "risky": 0, "estimates": {"toxicity": 0.0}})
    write_json(folder / "survey" / "it" / "00000.json", {})
    kind = STEPS.get("cascade")
    step = kind(kind.options(step="cascade", gate=PROFANITY, scorer=PROFANITY, audit=0.0, unscored="remove"))
    context: Any = SimpleNamespace(
        removed=SimpleNamespace(remove=lambda document, reason: removed.append(reason)),
        folder=folder, shards=[SimpleNamespace(stem="it/00000", corpus="it")],
    )  # fmt: skip
    return lambda text: list(step.apply(iter([as_datatrove(RawDocument("id", text, "it"))]), context, 0))


def test_a_cascade_gives_up_a_megabyte_that_no_scorer_can_read_in_under_two_seconds(tmp_path: Path) -> None:
    work = cascade(tmp_path, [])
    work("A text, so that what is loaded once is loaded.")

    def took(text: str) -> float:
        started = time.process_time()
        work(text)
        return time.process_time() - started

    assert not [shape for shape, text in UNREADABLE.items() if took(text) > 2 and took(text) > 2]


@pytest.mark.parametrize("shape", UNREADABLE)
def test_a_cascade_removes_a_text_that_no_scorer_can_read_and_says_why(shape: str, tmp_path: Path) -> None:
    removed: list[str] = []
    assert cascade(tmp_path, removed)(UNREADABLE[shape]) == []
    reason = "NUL characters: not text, or in another encoding" if "NUL" in shape else "words unknown to the scorer"
    assert removed == [f"unscored: {reason}"]


_SENTENCE = re.compile(r"\S[^\n]*?(?:[.!?…]+[\"'”’)\]]*(?=\s)|[。！？]+[”’」』)]*|(?=\s*(?:\n|\Z)))")


@given(st.text("..!?…\"')]。！”」 \n\t\r\u2028aB", max_size=15))
def test_sentences_are_those_of_the_plain_expression(text: str) -> None:
    assert sentence_spans(text) == [match.span() for match in _SENTENCE.finditer(text)]


@given(st.text("a.b@@-[]1:é_ c/'", max_size=20) | st.from_regex(r"(é|-|a\.)*[a-c.]+@[a-c.-]+", fullmatch=True))
def test_pii_replaces_what_datatrove_replaces(text: str) -> None:
    (document,) = applied("pii")(text)  # type: ignore[misc]
    assert document.text == PIIFormatter().format(text)


@given(st.text("<<>>br/ p&#10;ax", max_size=20))
def test_html_is_taken_out_as_the_plain_expressions_do(text: str) -> None:
    lines = re.sub(r"<br\s*/?>|</p>", "\n", text, flags=re.IGNORECASE)
    assert text_of_html(text) == html.unescape(re.sub(r"<[^>]*>", "", lines))


def test_references_of_any_length_are_read() -> None:
    assert text_of_html(f"&#{'0' * 5000}65;&#{'9' * 5000};&#x41;") == "A\ufffdA"


def test_what_is_kept_may_be_nested_a_hundred_deep() -> None:
    value: Any = 1
    for _depth in range(100):
        value = [value]
    assert plain(value, "x") == value
    with pytest.raises(UnreadableError, match='"x" holds values nested more than 100 deep'):
        plain([value], "x")
