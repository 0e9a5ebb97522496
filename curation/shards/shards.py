"""Shards: the unit of work of every pass, and the datatrove steps that lead, store and write them.

One rank is one shard. Which documents a shard holds follows from the sources and the settings, never from the workers;
a shard keeps its place through all passes, so that the written corpus has its documents in the order of the sources.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datatrove.data import Document
from datatrove.pipeline.base import PipelineStep

from curation.corpus.documents import marks_of, metadata_of
from curation.corpus.summary import Summary
from curation.corpus.tagged import schema
from curation.shards.parquet_rows import UNFINISHED, RowsWriter
from curation.shards.removed import Removals
from curation.shards.shard import Shard
from curation.shards.spill import SUFFIX, store
from curation.sources.input_files import pattern_of
from infra.artifacts.records import JsonObject, read_record, to_json
from infra.atomic import atomic_path, write_json
from infra.jobs.base import ReadOnly

RANK = "_rank"
_RUN_CHARACTERS = 200_000_000  # of a stored shard, whatever the number of its documents


class Apply(PipelineStep):
    """A step of our own, as datatrove runs it."""

    type = "curation"

    def __init__(self, name: str, apply: Callable[[Iterator[Document], int], Iterator[Document]]) -> None:
        self.name = name
        super().__init__()
        self.apply = apply

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        """Lead the documents of shard `rank` through the step."""
        yield from self.apply(data, rank)


class Call(PipelineStep):
    """A job's one step that reads no documents: a function with its arguments."""

    name = "call"
    type = "curation"

    def __init__(self, function: Callable[..., None], *arguments: Any) -> None:
        super().__init__()
        self.function, self.arguments = function, arguments

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        """Call it; yields nothing."""
        self.function(*self.arguments)
        yield from ()


class Ranked(PipelineStep):
    """Writes the rank into each document, for steps of datatrove's that see documents only."""

    name = "rank"
    type = "curation"

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        """Yield the documents with their rank."""
        for document in data:
            document.metadata[RANK] = rank
            yield document


class Within(PipelineStep):
    """Steps for some of the shards only; the documents of the others pass unchanged."""

    name = "within"
    type = "curation"

    def __init__(self, steps: tuple[PipelineStep, ...], ranks: ReadOnly[int]) -> None:
        super().__init__()
        self.steps, self.ranks = steps, ranks

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        """Lead the documents of shard `rank` through the steps, under the shard's rank among `ranks`."""
        if rank in self.ranks:
            inner = self.ranks.index(rank)
            for step in self.steps:
                data = step.run(data, inner, len(self.ranks))
        yield from data


class StoreShard(PipelineStep):
    """Last step of a pass that another one follows: the documents go to a stored file."""

    name = "store"
    type = "curation"

    def __init__(self, shards: ReadOnly[Shard], target: Path, folder: Path, removals: Removals) -> None:
        super().__init__()
        self.shards, self.target, self.folder, self.removals = shards, target, folder, removals

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        """Yield nothing."""
        shard = self.shards[rank]
        with atomic_path(self.target / f"{shard.stem}{SUFFIX}") as temporary:
            store(data, temporary)
        self.removals.finish()
        _record(self.folder, shard, Summary(), self.removals)
        yield from ()


class StoreRuns(PipelineStep):
    """Last step of the cutting: the documents of a piece go to stored files of at most so many documents each."""

    name = "cut"
    type = "curation"

    def __init__(self, shards: ReadOnly[Shard], target: Path, folder: Path, removals: Removals, documents: int) -> None:
        super().__init__()
        self.shards, self.target, self.folder, self.removals = shards, target, folder, removals
        self.documents = documents

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        """Yield nothing."""
        shard, runs = self.shards[rank], 0
        for number, group in itertools.groupby(data, _RunOf(self.documents)):
            self._store(group, shard, number)
            runs = number + 1
        if not runs:  # so that the piece's removals and bad lines have a shard to stand with
            self._store((), shard, 0)
        self.removals.finish()
        _record(self.folder, shard, Summary(), self.removals, runs=max(runs, 1))
        yield from ()

    def _store(self, documents: Iterable[Document], shard: Shard, number: int) -> None:
        with atomic_path(self.target / shard.stem / f"{number:05d}{SUFFIX}") as temporary:
            store(documents, temporary)


class _RunOf:
    """Number of the run that the next document belongs to; a run is full by documents or by characters."""

    def __init__(self, documents: int) -> None:
        self.documents, self.number, self.count, self.characters = documents, 0, 0, 0

    def __call__(self, document: Document) -> int:
        if self.count == self.documents or self.characters > _RUN_CHARACTERS:
            self.number, self.count, self.characters = self.number + 1, 0, 0
        self.count += 1
        self.characters += len(document.text)
        return self.number


class WriteShard(PipelineStep):
    """Last step of the last pass: the documents go to the tagged corpus, and are counted."""

    name = "write"
    type = "curation"

    def __init__(self, shards: ReadOnly[Shard], target: Path, folder: Path, removals: Removals) -> None:
        super().__init__()
        self.shards, self.target, self.folder, self.removals = shards, target, folder, removals

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        """Yield nothing."""
        summary, crowd = Summary(), self.shards[rank].crowd
        with RowsWriter(self.shards, self.target, schema()) as rows:
            for document in data:
                marks = marks_of(document)
                source = pattern_of(marks.source) if crowd else marks.source
                summary.add(document.text, source, marks.scores, marks.spans, metadata_of(document))
                rows.write(document, rank)
        rows.rename(rank)
        self.removals.finish()
        _record(self.folder, self.shards[rank], summary, self.removals)
        yield from ()


@dataclass(frozen=True, kw_only=True)
class PassRecord:
    """What a pass, or the cutting, leaves of a shard beside its documents: `records/CORPUS/NNNNN.json`."""

    summary: JsonObject
    """As of `Summary.to_json`."""
    removed: tuple[tuple[str, str, int], ...]
    """Documents by step and reason, sorted."""
    runs: int | None = None
    """Of the cutting alone: shards that the piece has become."""

    @classmethod
    def from_json(cls, folder: Path, stem: str) -> PassRecord:
        """The record of a shard below a pass's `folder`. Raises ArtifactError where it is missing or damaged."""
        return read_record(cls, folder / "records" / f"{stem}.json")


def _record(folder: Path, shard: Shard, summary: Summary, removals: Removals, runs: int | None = None) -> None:
    """What `finish` will want to know of a shard's pass."""
    removed = tuple((step, reason, count) for (step, reason), count in sorted(removals.counts.items()))
    record = PassRecord(summary=summary.to_json(), removed=removed, runs=runs)
    write_json(folder / f"{shard.stem}.json", to_json(record))


def pass_folder(work: Path, number: int) -> Path:
    """Where a pass leaves what it has made."""
    return work / "passes" / str(number)


def remove_unfinished(folder: Path) -> None:
    """Remove what killed workers left."""
    for left in folder.rglob(f"*{UNFINISHED}"):
        left.unlink(missing_ok=True)
