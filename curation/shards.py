"""Shards: the unit of work of every pass, and the datatrove steps that read, lead, store and write them.

One rank is one shard. Which documents a shard holds follows from the sources and the settings, never from the workers;
a shard keeps its place through all passes, so that the written corpus has its documents in the order of the sources.
"""

from __future__ import annotations

import itertools
import json
import pickle
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datatrove.data import Document
from datatrove.pipeline.base import PipelineStep

from curation.corpus import schema
from curation.documents import as_datatrove, marks_of
from curation.parts import Part, pattern_of
from curation.records import BadLine, RawDocument
from curation.removed import Removals
from curation.rows import UNFINISHED, RowsWriter
from curation.sources import read_part
from curation.stored import SUFFIX, store, stored
from curation.summary import Summary
from infra.atomic import atomic_path, write_json
from infra.errors import DataError

if TYPE_CHECKING:
    from curation.execution.base import Shared
    from curation.steps.base import Context, Step

RANK = "_rank"
_RUN_CHARACTERS = 200_000_000  # of a stored shard, whatever the number of its documents
_SHOWN = 3  # damaged files of a shard in a message
_HOPELESS = 100  # a file whose first lines are all bad is not the file that was meant: stop at once


@dataclass(frozen=True)
class Shard:
    """One shard: its corpus, its number in it, and what it reads: parts of sources, or a stored file below work/.

    `piece` is the place of the piece that this shard is the first one of, if its documents were cut from one. `crowd`
    says that its corpus has very many small files, which are counted by folder.
    """

    corpus: str
    number: int
    label: str
    parts: tuple[Part, ...] = ()
    limit: int | None = None
    stored: str = ""
    piece: str = ""
    crowd: bool = False

    @property
    def place(self) -> str:
        """`CORPUS/NNNNN`: the shard's files are called so, with a suffix, wherever they lie."""
        return f"{self.corpus}/{self.number:05d}"


class ReadSources(PipelineStep):
    """Documents of a shard's parts. Bad lines go to the shard's quarantine, empty texts to the removals.

    A shard that was cut from a piece, whose parts have been read, has its documents stored below `work`.
    """

    name = "read"
    type = "curation"

    def __init__(
        self, shards: Shared[Shard], parts: Shared[bytes], work: Path, quarantine: Path, removals: Removals,
        keep_damaged: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        self.shards, self.parts, self.work, self.quarantine = shards, parts, work, quarantine
        self.removals, self.keep_damaged = removals, keep_damaged

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        """Yield the documents of shard `rank`."""
        self.removals.begin(rank)
        shard = self.shards[rank]
        if shard.stored:
            yield from stored(self.work / shard.stored)
            return
        target = self.quarantine / f"{shard.place}.jsonl"
        with atomic_path(target) as temporary, open(temporary, "w", encoding="utf-8") as quarantine:
            documents = self._documents(unpacked(self.parts[rank]), shard.limit is None, quarantine)
            yield from map(as_datatrove, islice(documents, shard.limit))

    def _documents(self, parts: tuple[Part, ...], all_damage: bool, quarantine: Any) -> Iterator[RawDocument]:
        """Documents of all parts; under `all_damage` the others are still read after a damaged file, so that everything
        is told at once (not where a limit asks for the first ones only, as that could be the whole corpus).
        """
        damage: list[DataError] = []
        for part in parts:
            try:
                for document in self._hopefully(part, quarantine):
                    if not damage:
                        yield document
            except DataError as error:
                damage.append(error)
                if not all_damage:
                    break
        if damage:
            more = f"; and {len(damage) - _SHOWN} more files" if len(damage) > _SHOWN else ""
            raise DataError("; ".join(map(str, damage[:_SHOWN])) + more)

    def _hopefully(self, part: Part, quarantine: Any) -> Iterator[RawDocument]:
        """Documents of a part; gives up when its first lines are all bad."""
        bad: list[BadLine] = []
        good = False

        def on_bad(line: BadLine) -> None:
            quarantine.write(json.dumps(asdict(line), ensure_ascii=False) + "\n")
            if not good and len(bad) < _HOPELESS:
                bad.append(line)
                if len(bad) == _HOPELESS:
                    raise DataError(f"{bad[0]}; so are the {_HOPELESS - 1} lines after it, so the file is given up")

        for document in read_part(part, on_bad, self._on_skip, self.keep_damaged):
            good = True
            yield document

    def _on_skip(self, document: RawDocument, reason: str) -> None:
        self.removals.add(as_datatrove(document), "read", reason)


def packed(shards: Iterable[Shard]) -> Shared[bytes]:
    """What every shard reads, so that a worker unpacks only its own: all together may be a million files."""
    from curation.execution.base import Shared

    return Shared(pickle.dumps(shard.parts) for shard in shards)


def unpacked(parts: bytes) -> tuple[Part, ...]:
    """The inverse of `packed`, for one shard."""
    return pickle.loads(parts)  # noqa: S301  # our own


class ReadStored(PipelineStep):
    """Documents that an earlier pass has stored."""

    name = "read stored"
    type = "curation"

    def __init__(self, shards: Shared[Shard], work: Path, removals: Removals | None = None) -> None:
        super().__init__()
        self.shards, self.work, self.removals = shards, work, removals

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        """Yield the documents of shard `rank`."""
        if self.removals is not None:
            self.removals.begin(rank)
        yield from stored(self.work / self.shards[rank].stored)


class Apply(PipelineStep):
    """A step of our own, as datatrove runs it."""

    type = "curation"

    def __init__(self, step: Step, context: Context) -> None:
        self.name = context.name
        super().__init__()
        self.step, self.context = step, context

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        """Lead the documents of shard `rank` through the step."""
        yield from self.step.apply(data, self.context, rank)


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

    def __init__(self, steps: tuple[PipelineStep, ...], ranks: Shared[int]) -> None:
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

    def __init__(self, shards: Shared[Shard], target: Path, folder: Path, removals: Removals) -> None:
        super().__init__()
        self.shards, self.target, self.folder, self.removals = shards, target, folder, removals

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        """Yield nothing."""
        shard = self.shards[rank]
        with atomic_path(self.target / f"{shard.place}{SUFFIX}") as temporary:
            store(data, temporary)
        self.removals.finish()
        _record(self.folder, shard, Summary(), self.removals)
        yield from ()


class StoreRuns(PipelineStep):
    """Last step of the cutting: the documents of a piece go to stored files of at most so many documents each."""

    name = "cut"
    type = "curation"

    def __init__(self, shards: Shared[Shard], target: Path, folder: Path, removals: Removals, documents: int) -> None:
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
        with atomic_path(self.target / shard.place / f"{number:05d}{SUFFIX}") as temporary:
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

    def __init__(self, shards: Shared[Shard], target: Path, folder: Path, removals: Removals) -> None:
        super().__init__()
        self.shards, self.target, self.folder, self.removals = shards, target, folder, removals

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        """Yield nothing."""
        summary, crowd = Summary(), self.shards[rank].crowd
        with RowsWriter(self.shards, self.target, schema()) as rows:
            for document in data:
                marks = marks_of(document)
                source = pattern_of(marks.source) if crowd else marks.source
                summary.add(document.text, source, marks.scores, marks.spans)
                rows.write(document, rank)
        rows.rename(rank)
        self.removals.finish()
        _record(self.folder, self.shards[rank], summary, self.removals)
        yield from ()


def _record(folder: Path, shard: Shard, summary: Summary, removals: Removals, **more: Any) -> None:
    """What `finish` will want to know of a shard's pass."""
    removed: list[list[Any]] = [[step, reason, count] for (step, reason), count in sorted(removals.counts.items())]
    write_json(folder / f"{shard.place}.json", {"summary": summary.to_json(), "removed": removed, **more})


def pass_folder(work: Path, number: int) -> Path:
    """Where a pass leaves what it has made."""
    return work / "passes" / str(number)


def remove_unfinished(folder: Path) -> None:
    """Remove what killed workers left."""
    for left in folder.rglob(f"*{UNFINISHED}"):
        left.unlink(missing_ok=True)
