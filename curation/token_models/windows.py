"""Texts as overlapping windows of pieces that know their words, and the way back from pieces to words.

Where windows overlap, a word is taken from the window in which it stands farthest from a cut edge: there the model sees
most of what is around it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from curation.text.words import word_spans

if TYPE_CHECKING:
    from numpy.typing import NDArray

WordSpans = list[tuple[int, int]]


@dataclass(frozen=True)
class Window:
    """Some pieces of one text. All arrays are [pieces], special ones included."""

    text: int
    """Number of the text in its batch."""
    ids: tuple[int, ...]
    words: NDArray[np.int64]
    """The word that a piece belongs to; -1 for special pieces and for what is no word."""
    depth: NDArray[np.int64]
    """Pieces between a piece and the nearer cut edge; `len(ids)` where the text itself ends there."""

    def reduce(self, values: NDArray[np.float64], mean: bool) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Words of the window, and the sum (or mean) of `values` [pieces] over the pieces of each."""
        in_words = self.words >= 0
        words, inverse, counts = np.unique(self.words[in_words], return_inverse=True, return_counts=True)
        sums: NDArray[np.float64] = np.bincount(inverse, values[in_words], len(words)).astype(np.float64, copy=False)
        return words, sums / counts if mean else sums

    def depths(self, words: NDArray[np.int64]) -> NDArray[np.int64]:
        """How deep in the window each of `words`, sorted as `reduce` gives them, lies."""
        depths = np.full(len(words), -1, dtype=np.int64)
        in_words = self.words >= 0
        np.maximum.at(depths, np.searchsorted(words, self.words[in_words]), self.depth[in_words])
        return depths


def windows_of(tokenizer: Any, texts: list[str], longest: int) -> tuple[list[WordSpans], list[Window]]:
    """Words of each text, and windows of at most `longest` pieces; a quarter of a window overlaps with the next."""
    spans_by_text = [word_spans(text) for text in texts]
    if not texts:
        return spans_by_text, []
    encoded = tokenizer(texts, truncation=True, max_length=longest, stride=longest // 4, return_overflowing_tokens=True,
                        return_offsets_mapping=True, return_special_tokens_mask=True)  # fmt: skip
    owners = encoded["overflow_to_sample_mapping"]
    windows = []
    for row, text in enumerate(owners):
        special = np.array(encoded["special_tokens_mask"][row], dtype=bool)
        offsets = encoded["offset_mapping"][row]
        first, last = row == 0 or owners[row - 1] != text, row + 1 == len(owners) or owners[row + 1] != text
        words = np.where(special, -1, _owners(offsets, spans_by_text[text]))
        windows.append(Window(text, tuple(encoded["input_ids"][row]), words, _depth(len(offsets), first, last)))
    return spans_by_text, windows


def per_word(
    spans_by_text: list[WordSpans],
    values_by_window: Iterable[tuple[Window, NDArray[np.int64], NDArray[np.float64]]],
    missing: float,
) -> list[NDArray[np.float64]]:
    """Values of all words of each text, from (window, words, their values); `missing` for a word without any piece."""
    values = [np.full(len(spans), missing) for spans in spans_by_text]
    depth = [np.full(len(spans), -1, dtype=np.int64) for spans in spans_by_text]
    for window, words, numbers in values_by_window:
        depths = window.depths(words)
        better = depths > depth[window.text][words]
        values[window.text][words[better]] = numbers[better]
        depth[window.text][words[better]] = depths[better]
    return values


def _owners(offsets: list[tuple[int, int]], spans: WordSpans) -> NDArray[np.int64]:
    """For each piece the word that it overlaps, or -1."""
    owners = np.full(len(offsets), -1, dtype=np.int64)
    word = 0
    for piece, (start, end) in enumerate(offsets):
        if end <= start:
            continue
        while word < len(spans) and spans[word][1] <= start:
            word += 1
        if word < len(spans) and spans[word][0] < end:
            owners[piece] = word
    return owners


def _depth(pieces: int, first: bool, last: bool) -> NDArray[np.int64]:
    position = np.arange(pieces)
    left = np.full(pieces, pieces) if first else position
    right = np.full(pieces, pieces) if last else pieces - 1 - position
    return np.minimum(left, right)
