"""Shared ids: the same as by counting all of them, whatever the number of buckets; one reading; what is named is
bounded.

Covers curation.pipeline.duplicate_ids.
"""

from __future__ import annotations

import random
from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.pipeline import duplicate_ids
from curation.pipeline.duplicate_ids import SharedIds, shared_ids


def corpus(folder: Path, *shards: list[str]) -> list[Path]:
    """Parquet files of these ids."""
    files = [folder / f"{number:05d}.parquet" for number in range(len(shards))]
    for file, names in zip(files, shards, strict=True):
        pq.write_table(pa.table({"id": pa.array(names, pa.string())}), file, row_group_size=100)
    return files


def shared_between(files: list[Path], folder: Path) -> SharedIds:
    work = folder / "work"
    work.mkdir(exist_ok=True)
    return shared_ids(files, sum(pq.read_metadata(file).num_rows for file in files), work, lambda count: None)


@pytest.mark.parametrize("in_bucket", [4_000_000, 30])
def test_they_are_those_that_counting_finds_in_the_same_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_bucket: int
) -> None:
    monkeypatch.setattr(duplicate_ids, "_IN_BUCKET", in_bucket)
    random.seed(1)
    shards = [[f"document {random.randrange(800)}" for _ in range(size)] for size in (250, 0, 1, 300, 0)]
    locations = defaultdict(list)
    for number, names in enumerate(shards):
        for row, name in enumerate(names):
            locations[name].append(f"{number:05d}.parquet:{row}")
    expected = {name: where for name, where in locations.items() if len(where) > 1}
    shared = shared_between(corpus(tmp_path, *shards), tmp_path)
    assert list(shared.locations.items()) == list(expected.items()) and len(expected) > 100
    assert shared.count == len(expected) and shared.complete


def test_every_id_is_read_once_and_nothing_is_left_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicate_ids, "_IN_BUCKET", 30)
    files = corpus(tmp_path, [f"a{n}" for n in range(200)], [f"b{n}" for n in range(100)])
    read: list[int] = []
    (tmp_path / "work").mkdir()
    assert shared_ids(files, 300, tmp_path / "work", read.append) == SharedIds(0, {}, True)
    assert sum(read) == 300
    assert not list((tmp_path / "work").iterdir())


def test_what_is_named_is_bounded_and_what_is_counted_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicate_ids, "_MAX_NAMED", 5)
    names = [f"document {n}" for n in range(10)]
    shared = shared_between(corpus(tmp_path, names, names), tmp_path)
    assert shared.count == 10 and not shared.complete
    assert shared.locations == {f"document {n}": [f"00000.parquet:{n}", f"00001.parquet:{n}"] for n in range(2)}


def test_ids_whose_hashes_clash_are_not_shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def clashing(shard: Path) -> list[np.ndarray]:
        return [np.array([len(name) for name in pq.read_table(shard)["id"].to_pylist()], np.uint64)]

    monkeypatch.setattr(duplicate_ids, "_hashes", clashing)
    shared = shared_between(corpus(tmp_path, ["a", "b", "cc", "a", "dd"]), tmp_path)
    assert shared.locations == {"a": ["00000.parquet:0", "00000.parquet:3"]} and shared.count == 1


def test_a_corpus_without_documents_has_none(tmp_path: Path) -> None:
    assert shared_between([], tmp_path) == SharedIds(0, {}, True)
