"""Arrays with an entry a document, kept in files once they are long: memory does not grow with the corpus.

The kernel writes their pages out and reads them in as it sees fit. What is computed of whole arrays goes through in
chunks, so that nothing else becomes as long. Short arrays are ordinary ones.
"""

from __future__ import annotations

import contextlib
import itertools
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

LONG = 1 << 17
"""Entries above which an array is kept in a file, and entries of a chunk."""

Keys = NDArray[np.uint64]
_folder: ContextVar[Path | None] = ContextVar("folder", default=None)


@contextlib.contextmanager
def mapped_in(folder: Path) -> Iterator[None]:
    """Keep long arrays in `folder` inside the block, made anew and removed afterwards; all workers must see it.

    They are then handed to other processes by name. Elsewhere they are in files without one, of this process only.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    token = _folder.set(folder)
    try:
        yield
    finally:
        _folder.reset(token)
        shutil.rmtree(folder, ignore_errors=True)


class _MappedArray(np.memmap):
    """A file's array, pickled as the file's name; what is computed of it is not. NumPy pickles a memmap by its values,
    and a worker would get a copy of an array that is kept in a file because it is long.
    """

    whole: tuple[Any, ...] | None = None

    def __array_finalize__(self, source: Any) -> None:
        super().__array_finalize__(source)
        self.whole = None

    def __reduce__(self) -> Any:
        if self.whole is None:
            return np.array(self, subok=False).__reduce__()
        return _open, self.whole


def _open(name: str, dtype: str, count: int) -> _MappedArray:
    array = _MappedArray(name, dtype, "r", shape=(count,))
    array.whole = (name, dtype, count)
    return array


def folder() -> Path | None:
    """Where long arrays are kept; None: where temporary files are."""
    return _folder.get()


def new(count: int, dtype: DTypeLike) -> NDArray[Any]:
    """An array of zeros."""
    if count <= LONG:
        return np.zeros(count, dtype)
    target = folder()
    if target is None:
        with tempfile.TemporaryFile() as file:
            return np.memmap(file, dtype, "w+", shape=(count,))
    with tempfile.NamedTemporaryFile(dir=target, delete=False) as named:
        array = _MappedArray(named.name, dtype, "w+", shape=(count,))
    array.whole = (named.name, np.dtype(dtype).str, count)
    return array


def chunks(count: int) -> Iterator[slice]:
    """Slices that cover `count` entries in order."""
    yield from (slice(first, min(first + LONG, count)) for first in range(0, count, LONG))


def take(values: NDArray[Any], index: NDArray[np.int64]) -> NDArray[Any]:
    """values[index]."""
    taken = new(len(index), values.dtype)
    for chunk in chunks(len(index)):
        taken[chunk] = values[index[chunk]]
    return taken


def where(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Positions at which the mask is true."""
    positions = new(int(np.count_nonzero(mask)), np.int64)
    first = 0
    for chunk in chunks(len(mask)):
        in_chunk = np.flatnonzero(mask[chunk]) + chunk.start
        positions[first : first + len(in_chunk)] = in_chunk
        first += len(in_chunk)
    return positions


def keep(positions: NDArray[np.int64], mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The positions at which the mask, which has an entry for every position there is, is true."""
    passes = np.zeros(len(positions), np.bool_)
    for chunk in chunks(len(positions)):
        passes[chunk] = mask[positions[chunk]]
    return take(positions, where(passes))


def mask_of(positions: NDArray[np.int64], count: int) -> NDArray[np.bool_]:
    """A mask of `count` entries that is true at the positions."""
    mask = np.zeros(count, np.bool_)
    for chunk in chunks(len(positions)):
        mask[positions[chunk]] = True
    return mask


def running(values: NDArray[Any]) -> NDArray[np.int64]:
    """Sums of the values up to and with each of them."""
    sums = new(len(values), np.int64)
    total = 0
    for chunk in chunks(len(values)):
        sums[chunk] = np.cumsum(values[chunk], dtype=np.int64) + total
        total = int(sums[chunk.stop - 1])
    return sums


def order(count: int, keys: Callable[[slice], Keys]) -> NDArray[np.int64]:
    """Positions in the order of their keys, equal ones as they come. `keys` gives those of a slice.

    Keys are hashes, so equal ranges of them hold about equally many: each range is gathered and sorted by itself, after
    a pass that puts all into the files of their ranges.
    """
    if count <= LONG:
        return np.argsort(keys(slice(0, count)), kind="stable").astype(np.int64)
    bits = max(int(np.ceil(np.log2(count / LONG))), 1)
    shift = np.uint64(64 - bits)
    sizes = np.zeros((1 << bits) + 1, np.int64)
    for chunk in chunks(count):
        sizes[1:] += np.bincount((keys(chunk) >> shift).astype(np.int64), minlength=1 << bits)
    ends = np.cumsum(sizes)
    positions, sorted_by, filled = new(count, np.int64), new(count, np.uint64), ends[:-1].copy()
    for chunk in chunks(count):
        chunk_keys = keys(chunk)
        ranges = (chunk_keys >> shift).astype(np.int64)
        grouped = np.argsort(ranges, kind="stable")
        numbers, starts = np.unique(ranges[grouped], return_index=True)
        for number, members in zip(numbers, np.split(grouped, starts[1:]), strict=True):
            slots = slice(filled[number], filled[number] + len(members))
            positions[slots], sorted_by[slots] = members + chunk.start, chunk_keys[members]
            filled[number] = slots.stop
    for first, last in itertools.pairwise(ends):
        positions[first:last] = positions[first:last][np.argsort(sorted_by[first:last], kind="stable")]
    return positions
