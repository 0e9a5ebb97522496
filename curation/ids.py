"""Ids that several documents of a corpus share, found in memory that is bounded whatever the corpus's size."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_AT_ONCE = 20_000_000  # ids whose hashes are held together: 160 MB, and as much again to sort them


def shared_ids(shards: list[Path], documents: int) -> dict[str, list[str]]:
    """Each id that stands more than once, with its places ("00000.parquet:12", rows from 0), in the corpus's order."""
    rounds = 1 + documents // _AT_ONCE
    twice: set[int] = set()
    for turn in range(rounds):
        hashes = np.concatenate([_hashes(shard, turn, rounds) for shard in shards] or [np.empty(0, np.uint64)])
        values, counts = np.unique(hashes, return_counts=True)
        twice.update(values[counts > 1].tolist())
    found: dict[str, list[str]] = {}
    for shard in shards if twice else ():
        for row, name in enumerate(_ids(shard)):
            if _hash(name) in twice:
                found.setdefault(name, []).append(f"{shard.name}:{row}")
    return {name: places for name, places in found.items() if len(places) > 1}  # less the clashes of hashes


def _hashes(shard: Path, turn: int, rounds: int) -> NDArray[np.uint64]:
    """Hashes of a shard's ids, of which every turn takes its share."""
    hashes = np.fromiter(map(_hash, _ids(shard)), dtype=np.uint64)
    return hashes[hashes % np.uint64(rounds) == turn]


def _hash(name: str) -> int:
    from datatrove.utils.hashes.xxhash import xxhash64

    return int(xxhash64(name))


def _ids(shard: Path) -> Iterator[str]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(shard) as file:
        for batch in file.iter_batches(10_000, columns=["id"]):
            yield from batch.column("id").to_pylist()
