"""The order of documents that a component repeats: one repetition after another, each shuffled by itself.

So a document comes again only when all others have come, as in epochs of their own. Where one repetition meets the
next, documents are moved back so that no sample holds one twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class Repeated:
    """Documents of a stream that repeat: number `first` is the first of them, and `first + distinct` is that again."""

    first: int
    distinct: int

    def split(self, documents: range) -> list[range]:
        """The repetitions that these documents are of; the first and the last may hold some of their documents only."""
        starts = range(self.first, documents.stop, self.distinct)
        bounds = (range(max(start, documents.start), min(start + self.distinct, documents.stop)) for start in starts)
        return [repetition for repetition in bounds if repetition]


def shuffle_documents(
    order: Array, repeated: Repeated | None, lengths: Array, apart: int, state: np.random.RandomState
) -> None:
    """Shuffle `order`, which holds consecutive documents, in place. Those that repeat come repetition by repetition,
    equal ones at least `apart` tokens from each other as long as the others have so many.
    """
    if repeated is None:
        state.shuffle(order)
        return
    if not len(order):
        return
    at, before = 0, order[:0]
    for repetition in repeated.split(range(int(order[0]), int(order[0]) + len(order))):
        current = order[at : at + len(repetition)]
        state.shuffle(current)
        _move_apart(before, current, repeated.distinct, lengths, apart)
        at, before = at + len(repetition), current


def shuffle_samples(
    shuffle: Array,
    documents: range,
    repeated: Repeated | None,
    lengths: Array,
    length: int,
    state: np.random.RandomState,
) -> None:
    """Shuffle samples of `length` targets in place, those of a repetition among themselves."""
    if repeated is None:
        state.shuffle(shuffle)
        return
    tokens, before = 0, 0
    for repetition in repeated.split(documents):
        tokens += int(lengths[repetition.start : repetition.stop].sum(dtype=np.int64))
        end = -(-tokens // length)
        state.shuffle(shuffle[before:end])
        before = end


def _move_apart(before: Array, after: Array, distinct: int, lengths: Array, apart: int) -> None:
    """Move documents of `after` behind its first `apart` tokens where they are among the last `apart` of `before`."""
    last = before[-apart:]
    behind = np.cumsum(lengths[last][::-1], dtype=np.int64)[::-1] - lengths[last]  # tokens between each and the end
    barred = last[behind < apart] + distinct
    head = after[: apart + len(barred)]
    free = ~np.isin(head, barred)
    sizes = lengths[head[free]].astype(np.int64)
    leads = np.zeros(len(head), bool)
    leads[np.flatnonzero(free)[np.cumsum(sizes) - sizes < apart]] = True
    head[:] = np.concatenate([head[leads], head[~leads]])
    if len(head) == len(after) and sizes.sum() < apart:
        _make_way(before[-(apart + len(after)) :], after, distinct, lengths, apart)


def _make_way(before: Array, after: Array, distinct: int, lengths: Array, apart: int) -> None:
    """Where a last, short repetition cannot stand between, documents of `before` that come again in it move ahead of
    `apart` tokens of documents that do not.
    """
    is_repeated = np.isin(before + distinct, after)
    others = np.cumsum(np.where(is_repeated, 0, lengths[before])[::-1], dtype=np.int64)[::-1]
    tail = before[max(0, np.count_nonzero(others >= apart) - 1) :]
    is_repeated = np.isin(tail + distinct, after)
    tail[:] = np.concatenate([tail[is_repeated], tail[~is_repeated]])
