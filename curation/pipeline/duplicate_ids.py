"""Ids that several documents of a corpus share, found in one reading and in bounded memory whatever their number.

The hash and the place of every id go to one of many bucket files, by the hash: equal ids meet in the same bucket, which
is small enough to be sorted in memory. Only the rows whose hash is not alone are then looked at as text.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from infra.files.open_files import allow
from infra.render.progress import Advance

_IN_BUCKET = 4_000_000  # ids of a bucket: 64 MB, and about as much again to sort their hashes
_AT_ONCE = 1 << 18  # ids that are hashed together
_MAX_NAMED = 1_000_000  # documents that are named: some 300 MB as text
_PAIR = np.dtype([("hash", "<u8"), ("row", "<u8")])


@dataclass(frozen=True)
class SharedIds:
    """`count` ids stand more than once. `locations` names them in the corpus's order, each with where it stands
    ("00000.parquet:12", rows from 0): all, or where not `complete` those of the first million documents.
    """

    count: int
    locations: dict[str, list[str]]
    complete: bool


def shared_ids(shards: Sequence[Path], documents: int, work: Path, advance: Advance) -> SharedIds:
    """The ids that several of a corpus's `documents` have; `work` is an empty folder for 16 bytes an id, and `advance`
    is told how many ids have been read.
    """
    buckets = [work / f"{number:05d}" for number in range(max(1, allow(1 + documents // _IN_BUCKET)))]
    starts = _write_buckets(shards, buckets, advance)
    count, firsts, rows = _repeated(buckets)
    complete = len(rows) < _MAX_NAMED
    if not complete and firsts[0] != firsts[-1]:  # the last ones may lack their other places
        firsts, rows = firsts[firsts != firsts[-1]], rows[firsts != firsts[-1]]
    locations: dict[str, list[str]] = {}
    for same in _split(rows, firsts, _Locations(shards, starts, rows)):
        count += len(same) - 1  # 0 of a hash whose ids only clash
        locations |= same
    return SharedIds(count, locations, complete)


def _write_buckets(shards: Sequence[Path], buckets: list[Path], advance: Advance) -> NDArray[np.int64]:
    """Put every id's hash and row into its bucket; returns the row that every shard begins with."""
    starts = [0]
    with contextlib.ExitStack() as stack:
        streams = [stack.enter_context(open(bucket, "wb")) for bucket in buckets]
        for shard in shards:
            row = starts[-1]
            for hashes in _hashes(shard):
                _spread(hashes, row, streams)
                row += len(hashes)
                advance(len(hashes))
            starts.append(row)
    return np.array(starts[:-1])


def _hashes(shard: Path) -> Iterator[NDArray[np.uint64]]:
    with pq.ParquetFile(shard) as file:
        for batch in file.iter_batches(_AT_ONCE, columns=["id"]):
            # polars promises equal hashes within one version only: the buckets are never read by another run
            yield pl.Series(batch.column("id")).hash().to_numpy()


def _spread(hashes: NDArray[np.uint64], row: int, streams: Sequence[IO[bytes]]) -> None:
    """Append (hash, row) to the buckets; the upper half of the hash says to which."""
    pairs = np.empty(len(hashes), _PAIR)
    pairs["hash"], pairs["row"] = hashes, np.arange(row, row + len(hashes))
    numbers = (hashes >> np.uint64(32)) * np.uint64(len(streams)) >> np.uint64(32)
    order = np.argsort(numbers, kind="stable")
    pairs = pairs[order]
    ends = np.cumsum(np.bincount(numbers.astype(np.int64), minlength=len(streams)))
    for stream, start, end in zip(streams, [0, *ends], ends, strict=False):
        stream.write(pairs[start:end].tobytes())


def _repeated(buckets: list[Path]) -> tuple[int, NDArray[np.int64], NDArray[np.int64]]:
    """How many hashes stand more than once; and for the first rows of those, as many as are named, the first row that
    has the same hash and the row itself, in that order.
    """
    count = 0
    firsts = rows = np.empty(0, np.int64)
    for bucket in buckets:
        repeated, first, row = _repeated_in(np.fromfile(bucket, _PAIR))
        bucket.unlink()
        count += repeated
        firsts, rows = np.concatenate([firsts, first]), np.concatenate([rows, row])
        order = np.lexsort((rows, firsts))[:_MAX_NAMED]
        firsts, rows = firsts[order], rows[order]
    return count, firsts, rows


def _repeated_in(pairs: NDArray[np.void]) -> tuple[int, NDArray[np.int64], NDArray[np.int64]]:
    """The same of one bucket, whose rows rise, in no order."""
    hashes = np.sort(pairs["hash"])
    repeated = np.unique(hashes[1:][hashes[1:] == hashes[:-1]])
    pairs = pairs[np.isin(pairs["hash"], repeated)]
    _, at, group = np.unique(pairs["hash"], return_index=True, return_inverse=True)
    rows = pairs["row"].astype(np.int64)
    return len(repeated), rows[at][group], rows


def _split(rows: NDArray[np.int64], firsts: NDArray[np.int64], locations: _Locations) -> Iterator[dict[str, list[str]]]:
    """For the rows of each hash, the places of every id that stands more than once."""
    for group in np.split(rows, np.flatnonzero(np.diff(firsts)) + 1) if len(rows) else ():
        locations_by_id: dict[str, list[str]] = {}
        for row in group.tolist():
            locations_by_id.setdefault(locations.ids[row], []).append(locations.of(row))
        yield {name: where for name, where in locations_by_id.items() if len(where) > 1}


class _Locations:
    """Where rows of the corpus stand, and the ids of some of them."""

    def __init__(self, shards: Sequence[Path], starts: NDArray[np.int64], rows: NDArray[np.int64]) -> None:
        self._shards, self._starts = shards, starts
        self.ids: dict[int, str] = {}
        rising = np.sort(rows)
        shard_of = self._shard_of(rising)
        for number in np.unique(shard_of).tolist():
            inside = rising[shard_of == number]
            self.ids.update(zip(inside.tolist(), _ids_at(shards[number], inside - starts[number]), strict=True))

    def of(self, row: int) -> str:
        """`00000.parquet:12`."""
        number = int(self._shard_of(row))
        return f"{self._shards[number].name}:{row - self._starts[number]}"

    def _shard_of(self, rows: Any) -> Any:
        return np.searchsorted(self._starts, rows, side="right") - 1


def _ids_at(shard: Path, rows: NDArray[np.int64]) -> list[str]:
    """The ids of some rows of a shard, in rising order."""
    return pq.read_table(shard, columns=["id"]).column("id").take(pa.array(rows)).to_pylist()
