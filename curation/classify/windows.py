"""Texts as token windows of a limited length, and batches of windows of like length.

A text longer than the model reads is cut into windows that overlap, so that no part of it goes unread and no phrase is
seen only in halves. Windows are sorted by length and put together up to a budget of tokens: padding, which is what a
batch in order of arrival mostly consists of, nearly vanishes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
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
    numbers: dict[tuple[int, ...], int] = {}
    found: list[list[int]] = [[] for _ in texts]
    for ids, owner in zip(encoded["input_ids"], encoded["overflow_to_sample_mapping"], strict=True):
        found[owner].append(numbers.setdefault(tuple(ids), len(numbers)))
    return Windows(tuple(numbers), tuple(map(tuple, found)))


def buckets(lengths: list[int], budget: int) -> Iterator[list[int]]:
    """Rows of similar length, so that padding stays small: at most `budget` tokens a batch, padding included."""
    rows: list[int] = []
    for row in sorted(range(len(lengths)), key=lambda each: (lengths[each], each)):
        if rows and lengths[row] * (len(rows) + 1) > budget:
            yield rows
            rows = []
        rows.append(row)
    if rows:
        yield rows


def padded(rows: list[tuple[int, ...]], pad: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Token ids and attention mask, int64 [rows, longest row], padded on the right."""
    import numpy as np

    longest = max(map(len, rows))
    ids = np.full((len(rows), longest), pad, dtype=np.int64)
    mask = np.zeros((len(rows), longest), dtype=np.int64)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = row
        mask[number, : len(row)] = 1
    return ids, mask
