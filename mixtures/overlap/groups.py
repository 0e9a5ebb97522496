"""The stage behind `overlap:`: documents of several corpora that are equal, or nearly equal by datatrove's MinHash.

`groups.parquet` has a row for every document that is like another: corpus, shard and row, the number of the group of
equal texts and of the cluster of nearly equal ones that it belongs to (-1: none). Clusters are transitive, as
deduplication has them: if a is like b and b like c, the three are one.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datatrove.pipeline.base import PipelineStep
from datatrove.utils.hashing import HashConfig, create_hash_func
from numpy.typing import NDArray

from curation.steps.dedup.minhash import Minhash, band_labels, cluster_pairs, minhash_steps
from infra.artifacts.records import JsonObject
from infra.atomic import atomic_path, write_bytes
from infra.jobs.base import Job, ReadOnly, Workers
from infra.jobs.execute import execute
from infra.stages.stage import Workspace
from mixtures.corpora.columns import open_corpus
from mixtures.corpora.texts import ReadTexts
from mixtures.overlap.measure import GROUPS
from mixtures.spec.overlap import DuplicatesSpec


class HashTexts(PipelineStep):
    """Writes a 64-bit hash of every text of shard `rank`, in order."""

    name = "hash texts"
    type = "mixture"

    def __init__(self, target: Path) -> None:
        super().__init__()
        self.target = target

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Any]:
        """Yield the documents unchanged."""
        hash_of, hashes = create_hash_func(HashConfig()), []
        for document in data:
            hashes.append(hash_of(document.text))
            yield document
        write_bytes(_hashes(self.target, rank), np.array(hashes, np.uint64).tobytes())


def find_groups(spec: DuplicatesSpec, workspace: Workspace, workers: Workers | None = None) -> JsonObject:
    """Compare all documents; returns the artifact's counts. Raises InputError or RanksFailed."""
    corpora = [open_corpus(spec.curation, name) for name in spec.corpora]
    shards = [(corpus.name, number, shard) for corpus in corpora for number, shard in enumerate(corpus.shards)]
    work = workspace.path / ".work"
    for job in _jobs(spec, ReadOnly(shard for _, _, shard in shards), [f"{c}/{s.name}" for c, _, s in shards], work):
        execute(job, workspace, workers)
    equal = _numbered([np.fromfile(_hashes(work, rank), np.uint64) for rank in range(len(shards))])
    tables = [
        _table(corpus, number, equal[rank], _clusters(work, rank)) for rank, (corpus, number, _) in enumerate(shards)
    ]
    groups = pa.concat_tables(tables)
    with atomic_path(workspace.path / GROUPS) as path:
        pq.write_table(groups, path)
    shutil.rmtree(work)
    return {"corpora": list(spec.corpora), "documents": len(groups)}


def _jobs(spec: DuplicatesSpec, shards: ReadOnly[Path], labels: list[str], work: Path) -> list[Job]:
    """datatrove's three stages, the first of which also hashes every text."""
    folders = [work / name for name in ("signatures", "pairs", "clusters")]
    for folder in folders:  # datatrove lists them even where nothing was written
        folder.mkdir(parents=True, exist_ok=True)
    sign, match, cluster = minhash_steps(spec.near, *map(str, folders))
    files = Minhash.files_of_a_shard * len(shards)
    return [
        Job("compare texts", (ReadTexts(shards), HashTexts(work), sign), tuple(labels), work / "jobs-1"),
        Job("nearly equal texts", (match,), band_labels(spec.near), work / "jobs-2", files),
        Job("clusters of them", (cluster,), ("clusters",), work / "jobs-3", files),
    ]


def _hashes(work: Path, rank: int) -> Path:
    return work / "equal" / f"{rank:05d}.hashes"


def _numbered(hashes: list[NDArray[np.uint64]]) -> list[NDArray[np.int64]]:
    """For every document the number of its group of equal texts, -1 where no other is equal."""
    _, inverse, counts = np.unique(np.concatenate(hashes), return_inverse=True, return_counts=True)
    groups = np.cumsum(counts > 1) - 1
    numbers = np.where(counts[inverse] > 1, groups[inverse], -1)
    return np.split(numbers, np.cumsum([len(shard) for shard in hashes])[:-1])


def _clusters(work: Path, rank: int) -> NDArray[np.uint32]:
    """[documents, 2]: row and cluster; a shard without near duplicates has no file."""
    file = work / "clusters" / f"{rank:06d}.clusters"
    return cluster_pairs(file) if file.exists() else np.zeros((0, 2), np.uint32)


def _table(corpus: str, shard: int, equal: NDArray[np.int64], clusters: NDArray[np.uint32]) -> pa.Table:
    """Documents of one shard that are like another."""
    near = np.full(len(equal), -1, np.int64)
    near[clusters[:, 0]] = clusters[:, 1]
    rows = np.flatnonzero((equal >= 0) | (near >= 0))
    columns = {
        "corpus": pa.array([corpus] * len(rows), pa.string()),
        "shard": np.full(len(rows), shard, np.int32),
        "row": rows.astype(np.int32),
        "equal": equal[rows],
        "near": near[rows],
    }
    return pa.table(columns)
