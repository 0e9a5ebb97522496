"""The stage behind `decontaminate:`: every document of a corpus against the n-grams of evaluation sets.

datatrove hashes, normalises and judges; jobs run where the ranks of a curation do. `hits.parquet` has a row for every
document with an n-gram of a set; `sets.json` says of each set how many of its texts were found, and how many of them
wholly, that is with all their n-grams.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datatrove.pipeline.base import PipelineStep

from curation.execution import Job, Shared, execute
from curation.shards import Call
from curation.steps.decontaminate import BenchmarksSpec, build_index, hashes_of, hashes_of_texts, ngram_filter
from infra.atomic import atomic_path, write_bytes, write_json
from infra.stage import Workspace
from mixtures.contamination.found import HITS, SCHEMA, SETS
from mixtures.contamination.spec import ContaminationSpec
from mixtures.corpus import open_corpus
from mixtures.texts import ROW, ReadTexts

if TYPE_CHECKING:
    from curation.execution import Workers


class FindNgrams(PipelineStep):
    """Of each document of shard `rank`, which n-grams are those of an evaluation set."""

    name = "find n-grams"
    type = "mixture"

    def __init__(self, sets: BenchmarksSpec, index: str, target: Path) -> None:
        super().__init__()
        self.sets, self.index, self.target = sets, index, target

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Any]:
        """Write `RANK.parquet`, a row a document that has any, and `RANK.hashes`, all n-grams found."""
        judge = ngram_filter(self.sets, self.index)
        judge.load_index_hashes()
        rows, found = [], set()
        for document in data:
            here = [each for each in hashes_of(document.text, None, judge) if each in judge._index_hashes]
            if here:
                found.update(here)
                judge.filter(document)  # writes what it found into the metadata
                said = document.metadata
                which, first = said["contaminated_task"], said["contaminated_ngram"]
                rows.append((rank, said[ROW], document.id, which, len(here), first))
        columns = [pa.array([row[index] for row in rows], kind.type) for index, kind in enumerate(SCHEMA)]
        write_bytes(self.target / f"{rank:05d}.hashes", np.array(sorted(found), np.uint64).tobytes())
        with atomic_path(self.target / f"{rank:05d}.parquet") as path:
            pq.write_table(pa.table(columns, schema=SCHEMA), path)
        yield from ()


def scan(spec: ContaminationSpec, workspace: Workspace, workers: Workers | None = None) -> dict[str, Any]:
    """Look through a corpus. Raises InputError (a set without text), RanksFailed."""
    corpus = open_corpus(spec.curation, spec.corpus)
    work = workspace.path / ".work"
    index, found = str(work / "index"), work / "found"
    labels = tuple(f"{corpus.name}/{shard.name}" for shard in corpus.shards)
    pipeline = (ReadTexts(Shared(corpus.shards)), FindNgrams(spec.sets, index, found))
    jobs = [
        Job("index evaluation sets", (Call(build_index, spec.sets, index),), ("evaluation sets",), work / "jobs-index"),
        Job(f"look for them in {corpus.name}", pipeline, labels, work / "jobs"),
    ]
    for job in jobs:
        execute(job, workspace, workers)
    parts = [found / f"{rank:05d}" for rank in range(len(labels))]
    hits = pa.concat_tables(pq.read_table(part.with_suffix(".parquet")) for part in parts)
    with atomic_path(workspace.path / HITS) as path:
        pq.write_table(hits, path)
    known = {each for part in parts for each in np.fromfile(part.with_suffix(".hashes"), np.uint64).tolist()}
    write_json(workspace.path / SETS, {name: _found_of(spec.sets, name, known) for name in spec.sets.against})
    shutil.rmtree(work)
    return {"corpus": corpus.name, "documents": len(hits), "sets": list(spec.sets.against)}


def _found_of(sets: BenchmarksSpec, name: str, known: set[int]) -> dict[str, int]:
    """Texts of an evaluation set: all, those long enough to be looked for, found at all, found with every n-gram."""
    holder = ngram_filter(sets, ".")
    counts = {"texts": 0, "long_enough": 0, "touched": 0, "inside": 0}
    for hashes in hashes_of_texts(sets, name, holder):
        seen = sum(each in known for each in hashes)
        counts["texts"] += 1
        counts["long_enough"] += bool(hashes)
        counts["touched"] += seen > 0
        counts["inside"] += bool(hashes) and seen == len(hashes)
    return counts
