"""Texts as token windows of a limited length, and batches of windows of like length.

A text longer than the model reads is cut into windows that overlap, so that no part of it goes unread and no phrase is
seen only in halves. Windows are sorted by length and put together up to a budget of tokens: padding, which is what a
batch in order of arrival mostly consists of, nearly vanishes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
from tokenizers import Tokenizer

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Windows:
    """Token ids of each distinct window, and for every text the windows that it is made of."""

    ids: tuple[tuple[int, ...], ...]
    of_text: tuple[tuple[int, ...], ...]


def cut(tokenizer: Any, texts: list[str], longest: int, overlap: int) -> Windows:
    """Windows of at most `longest` tokens, special tokens included, `overlap` of which the next one repeats.

    Equal windows are one: what many texts have in common is computed once.
    """
    encoded = tokenizer(texts, truncation=True, max_length=longest, return_overflowing_tokens=True, stride=overlap,
                        return_attention_mask=False, return_token_type_ids=False)  # fmt: skip
    return _distinct(len(texts), zip(encoded["overflow_to_sample_mapping"], encoded["input_ids"], strict=True))


class Cutter:
    """`cut` for texts by the ten thousand: on a copy of the tokenizer that a thread has to itself, and without the
    lists that transformers makes of all that a tokenizer knows of a text.
    """

    def __init__(self, tokenizer: Any, longest: int, overlap: int) -> None:
        self._tokenizer = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(longest, stride=overlap)

    def __call__(self, texts: list[str]) -> Windows:
        """The windows that `cut` gives."""
        encoded = self._tokenizer.encode_batch_fast(texts)
        pieces = ((owner, piece.ids) for owner, text in enumerate(encoded) for piece in (text, *text.overflowing))
        return _distinct(len(texts), pieces)


def _distinct(texts: int, pieces: Iterable[tuple[int, list[int]]]) -> Windows:
    """Windows of (text, token ids)."""
    numbers: dict[tuple[int, ...], int] = {}
    of_text: list[list[int]] = [[] for _ in range(texts)]
    for owner, ids in pieces:
        of_text[owner].append(numbers.setdefault(tuple(ids), len(numbers)))
    return Windows(tuple(numbers), tuple(map(tuple, of_text)))


def buckets(lengths: list[int], budget: int) -> Iterator[list[int]]:
    """Rows of similar length, so that padding stays small: at most `budget` tokens a batch, padding included."""
    rows: list[int] = []
    for row in sorted(range(len(lengths)), key=lambda index: (lengths[index], index)):
        if rows and lengths[row] * (len(rows) + 1) > budget:
            yield rows
            rows = []
        rows.append(row)
    if rows:
        yield rows


def padded(rows: list[tuple[int, ...]], pad: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Token ids and attention mask, int64 [rows, longest row], padded on the right."""
    lengths = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
    text = np.arange(lengths.max())[None, :] < lengths[:, None]
    ids = np.full(text.shape, pad, dtype=np.int64)
    ids[text] = np.fromiter(chain.from_iterable(rows), dtype=np.int64, count=int(lengths.sum()))
    return ids, text.astype(np.int64)


def highest(scores: NDArray[np.float32], windows: Windows) -> NDArray[np.float32]:
    """[texts, attributes]: the highest score of each text's windows; a NaN stays a NaN."""
    counts = np.fromiter(map(len, windows.of_text), dtype=np.int64, count=len(windows.of_text))
    order = np.fromiter(chain.from_iterable(windows.of_text), dtype=np.int64, count=int(counts.sum()))
    return np.maximum.reduceat(scores[order], counts.cumsum() - counts, axis=0)
