"""Cutting risky spans out of documents.

Covers mixtures.tokenizing.cut_spans.
"""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.corpus.tagged import schema
from mixtures.tokenizing.cut_spans import cut_spans

TYPES = pa.schema([schema().field("text"), schema().field("spans")])
Spans = list[tuple[int, int, str, float]]


def cut(text: str, spans: Spans, at_or_above: float = 0.5) -> tuple[str, Spans]:
    names = ("start", "end", "attribute", "score")
    rows = [{"text": text, "spans": [dict(zip(names, span, strict=True)) for span in spans]}] * 2
    first, second = cut_spans(pa.RecordBatch.from_pylist(rows, TYPES), "toxicity", at_or_above).to_pylist()
    assert first == second
    return first["text"], [(s["start"], s["end"], s["attribute"], round(s["score"], 2)) for s in first["spans"]]


@pytest.mark.parametrize(
    ("text", "risky", "left"),
    [
        ("go away you idiot now", [(8, 17)], "go away now"),
        ("you idiot, go away", [(0, 9)], ", go away"),
        ("idiot go away idiot", [(0, 5), (14, 19)], "go away "),
        ("an idiotic plan", [(3, 8)], "an ic plan"),
        ("one two three four", [(4, 7), (6, 13)], "one four"),
        ("one two three four", [(4, 8), (8, 13)], "one four"),
        ("you idiot", [(0, 9)], ""),
        ("café 😀 you fool là", [(7, 15)], "café 😀 là"),
    ],
)
def test_what_is_risky_goes_and_words_stay_apart(text: str, risky: list[tuple[int, int]], left: str) -> None:
    assert cut(text, [(start, end, "toxicity", 0.9) for start, end in risky]) == (left, [])


def test_what_is_below_the_threshold_or_of_another_kind_stays_and_moves_with_its_text() -> None:
    text = "a bad word, you idiot, a rude one"
    spans = [(2, 10, "toxicity", 0.2), (12, 21, "toxicity", 0.9), (12, 28, "insult", 0.9), (25, 29, "toxicity", 0.4)]
    left, moved = cut(text, spans)
    assert left == "a bad word, , a rude one"
    assert [left[start:end] for start, end, *_ in moved] == ["bad word", ", a rud", "rude"]
    assert [span[2:] for span in moved] == [("toxicity", 0.2), ("insult", 0.9), ("toxicity", 0.4)]
    assert cut(text, spans, 0.95) == (text, spans)


@given(
    st.text("ab é\n", max_size=30),
    st.lists(st.tuples(st.integers(0, 30), st.integers(1, 8), st.booleans()), max_size=5),
)
def test_no_risky_character_stays_and_no_other_word_goes(text: str, drawn: list[tuple[int, int, bool]]) -> None:
    spans = [(a, min(a + n, len(text)), "toxicity", 0.9 if risky else 0.1) for a, n, risky in drawn if a < len(text)]
    risky = {position for a, b, _, score in spans if score > 0.5 for position in range(a, b)}
    left, moved = cut(text, spans)
    harmless = [char for position, char in enumerate(text) if position not in risky and not char.isspace()]
    assert [char for char in left if not char.isspace()] == harmless
    assert all(0 <= start < end <= len(left) and score < 0.5 for start, end, _, score in moved)
