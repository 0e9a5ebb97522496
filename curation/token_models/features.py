"""Hashed features of words, of their parts and of their neighbours: what the lexical model is linear in.

A word by itself gives its spelling, a normal form (lower case, signs put back into letters, long repeats undone), the
letter n-grams of that form and its capitals. Neighbours give the word before, the word after, and both pairs. All are
hashed into one table, so that the model's size does not depend on the corpus, and no vocabulary is stored.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SIGNS = str.maketrans({"@": "a", "$": "s", "0": "o", "1": "i", "3": "e", "*": "", "’": "'"})
_REPEATS = re.compile(r"(.)\1{2,}")
NEIGHBOUR = 0.7
"""Value of a neighbour's feature; a word's own spelling has 1. Smaller values are held closer to zero when fitting."""
_NGRAMS = 1.5  # of all n-grams of a word together, as a length
_BEFORE, _AFTER = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F))  # odd numbers without a pattern
EDGE = "\n"
"""Stands for the word before the first and after the last; no word holds a line break."""


@dataclass(frozen=True)
class Hashing:
    """How features become columns: a table of 2**bits, and n-grams of `shortest` to `longest` letters."""

    bits: int = 20
    shortest: int = 3
    longest: int = 5

    def column(self, feature: str) -> int:
        """The column of a named feature: CRC-32, which is the same everywhere and for ever."""
        return zlib.crc32(feature.encode("utf-8", "surrogatepass")) & ((1 << self.bits) - 1)

    def of_word(self, word: str) -> tuple[list[int], list[float]]:
        """Columns and values of a word by itself."""
        lower = word.lower()
        normal = _REPEATS.sub(r"\1", lower.translate(_SIGNS))
        framed = f"<{normal}>"
        ngrams = [f"part {framed[start : start + length]}" for length in range(self.shortest, self.longest + 1)
                 for start in range(len(framed) - length + 1)]  # fmt: skip
        names = [f"word {lower}", f"form {normal}", f"capitals {_capitals(word)}"]
        values = [1.0] * len(names) + [_NGRAMS / max(len(ngrams), 1) ** 0.5] * len(ngrams)
        return [self.column(feature) for feature in (*names, *ngrams)], values

    def as_neighbour(self, word: str) -> tuple[int, int, int]:
        """Column of the word standing before another, column of it standing after one, and its key for pairs."""
        lower = word.lower()
        key = zlib.crc32(lower.encode("utf-8", "surrogatepass"))
        return self.column(f"before {lower}"), self.column(f"after {lower}"), key

    def pairs(
        self, before: NDArray[np.uint64], keys: NDArray[np.uint64], after: NDArray[np.uint64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Columns of (word before, word) and (word, word after), from keys [words]; products wrap around."""
        shift = np.uint64(64 - self.bits)
        first = (before * _BEFORE + keys * _AFTER) * _BEFORE >> shift
        second = (keys * _BEFORE + after * _AFTER) * _AFTER >> shift
        return first.astype(np.int64), second.astype(np.int64)


def _capitals(word: str) -> str:
    if word.isupper() and len(word) > 1:
        return "all"
    return "first" if word[:1].isupper() else "none"


def neighbours_of(ids: NDArray[np.int64], lengths: list[int], edge: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Ids of the words before and after each word, `edge` where its text begins or ends. `ids` [words] of all texts."""
    before = np.concatenate([[edge], ids[:-1]]) if len(ids) else ids.copy()
    after = np.concatenate([ids[1:], [edge]]) if len(ids) else ids.copy()
    bounds = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    for start, end in pairwise(bounds.tolist()):
        if start < end:
            before[start], after[end - 1] = edge, edge
    return before, after
