"""Labelled spans in terms of words: what a token model learns, whatever the spans come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from curation.text.words import word_spans

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class LabelledText:
    """A text and its risky stretches: half-open [start, end) in code points, and how risky each is, in [0, 1].

    Labels by people are 1; a teacher's are its scores. `where` names the line it is from.
    """

    text: str
    spans: tuple[tuple[int, int, float], ...]
    where: str = ""

    def gold(self) -> set[int]:
        """Offsets of the characters that are labelled at least 0.5."""
        return {offset for start, end, label in self.spans if label >= 0.5 for offset in range(start, end)}


def word_targets(labelled: LabelledText) -> tuple[list[tuple[int, int]], NDArray[np.float32]]:
    """WordSpans of the words, and for each the mean label of its characters [words] float32."""
    characters = np.zeros(len(labelled.text), dtype=np.float64)
    for start, end, label in labelled.spans:
        np.maximum(characters[start:end], label, out=characters[start:end])
    spans = word_spans(labelled.text)
    if not spans:
        return spans, np.zeros(0, dtype=np.float32)
    sums = np.concatenate([[0.0], np.cumsum(characters)])
    starts, ends = np.array(spans).T
    return spans, ((sums[ends] - sums[starts]) / (ends - starts)).astype(np.float32)
