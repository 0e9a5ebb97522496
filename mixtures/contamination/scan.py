"""The stage behind `decontaminate:`: every document of a corpus against the n-grams of evaluation sets.

datatrove hashes, normalises and judges; jobs run where the ranks of a curation do. `hits.parquet` has a row for every
document with an n-gram of a set; `sets.json` says of each set how many of its texts were found, and how many of them
wholly, that is with all their n-grams.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datatrove.pipeline.base import PipelineStep
from numpy.typing import NDArray

from curation.shards.shards import Call
from curation.steps.decontaminate import hashes_of, hashes_of_texts, ngram_filter, write_index
from curation.steps.options import BenchmarksSpec
from infra.artifacts.records import JsonObject, to_json
from infra.atomic import atomic_path, write_bytes, write_json
from infra.jobs.base import Job, ReadOnly, Workers
from infra.jobs.execute import execute
from infra.stages.stage import Workspace
from mixtures.contamination.hits import HITS, SCHEMA, SETS
from mixtures.corpora.columns import open_corpus
from mixtures.corpora.texts import ROW, ReadTexts
from mixtures.reading.manifest import SetCounts
from mixtures.spec.contamination import ContaminationSpec


class FindNgrams(PipelineStep):
    """Of each document of shard `rank`, which n-grams are those of an evaluation set."""

    name = "find n-grams"
    type = "mixture"

    def __init__(self, sets: BenchmarksSpec, index: str, target: Path) -> None:
        super().__init__()
        self.sets, self.index, self.target = sets, index, target

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Any]:
        """Write `RANK.parquet`, a row a document that has any, and `RANK.hashes`, the n-grams of all of them."""
        judge = ngram_filter(self.sets, self.index)
        judge.load_index_hashes()
        rows, ngrams = [], set()
        for document in data:
            # datatrove's filter stops at the first n-gram of a set and keeps the table to itself: all are counted here.
            hits = [ngram for ngram in hashes_of(document.text, None, judge) if ngram in judge._index_hashes]
            if hits:
                ngrams.update(hits)
                judge.filter(document)  # writes the set and the first n-gram into the metadata
                metadata = document.metadata
                name, first = metadata["contaminated_task"], metadata["contaminated_ngram"]
                rows.append({"shard": rank, "row": metadata[ROW], "id": document.id, "set": name,
                             "ngrams": len(hits), "first": first})  # fmt: skip
        write_bytes(self.target / f"{rank:05d}.hashes", np.array(sorted(ngrams), np.uint64).tobytes())
        with atomic_path(self.target / f"{rank:05d}.parquet") as path:
            pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), path)
        yield from ()


def scan(spec: ContaminationSpec, workspace: Workspace, workers: Workers | None = None) -> JsonObject:
    """Look through a corpus; returns the artifact's counts. Raises InputError (a set without text), RanksFailed."""
    corpus = open_corpus(spec.curation, spec.corpus)
    work = workspace.path / ".work"
    index, scanned = str(work / "index"), work / "found"
    labels = tuple(f"{corpus.name}/{shard.name}" for shard in corpus.shards)
    pipeline = (ReadTexts(ReadOnly(corpus.shards)), FindNgrams(spec.sets, index, scanned))
    jobs = [
        Job("index evaluation sets", (Call(index_sets, spec.sets, index),), ("evaluation sets",), work / "jobs-index"),
        Job(f"look for them in {corpus.name}", pipeline, labels, work / "jobs"),
    ]
    for job in jobs:
        execute(job, workspace, workers)
    prefixes = [scanned / f"{rank:05d}" for rank in range(len(labels))]
    hits = pa.concat_tables(pq.read_table(prefix.with_suffix(".parquet")) for prefix in prefixes)
    with atomic_path(workspace.path / HITS) as path:
        pq.write_table(hits, path)
    known = np.concatenate([np.fromfile(prefix.with_suffix(".hashes"), np.uint64) for prefix in prefixes])
    counts = {name: to_json(_counts_of(Path(index), name, known)) for name in spec.sets.against}
    write_json(workspace.path / SETS, counts)
    shutil.rmtree(work)
    return {"corpus": corpus.name, "documents": len(hits), "sets": list(spec.sets.against)}


def index_sets(sets: BenchmarksSpec, folder: str) -> None:
    """Write the index that datatrove's filter reads, and beside it the hashes of each text of a set (`NAME.npz`)."""
    holder = ngram_filter(sets, folder)
    for name in sets.against:
        texts = list(hashes_of_texts(sets, name, holder))
        ngrams = list(chain.from_iterable(texts))
        write_index(sets, name, set(ngrams), folder)
        hashes = np.array(ngrams, np.uint64)
        np.savez(Path(folder) / f"{name}.npz", hashes=hashes, sizes=np.array([len(text) for text in texts]))


def _counts_of(index: Path, name: str, known: NDArray[np.uint64]) -> SetCounts:
    """The texts of an evaluation set by how many of their n-grams are `known`, which are those of the corpus."""
    with np.load(index / f"{name}.npz") as saved:
        hashes, sizes = saved["hashes"], saved["sizes"]
    seen = np.concatenate([[0], np.cumsum(np.isin(hashes, known))])
    ends = np.cumsum(sizes)
    hits = seen[ends] - seen[ends - sizes]
    long_enough = sizes > 0
    return SetCounts(
        texts=len(sizes),
        long_enough=int(long_enough.sum()),
        touched=int((hits > 0).sum()),
        inside=int((long_enough & (hits == sizes)).sum()),
    )
