"""First steps of a pass: documents of a shard's parts, or those that an earlier pass has stored."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from datatrove.data import Document
from datatrove.pipeline.base import PipelineStep

from curation.corpus.documents import as_datatrove
from curation.corpus.records import BadLine, RawDocument
from curation.shards.removed import Removals
from curation.shards.shard import Shard
from curation.shards.spill import stored
from curation.sources.input_files import InputFile
from curation.sources.read import read_hopefully
from curation.sources.unchanged import check_unchanged
from infra.atomic import atomic_path
from infra.errors import DataError
from infra.jobs.base import ReadOnly

_SHOWN = 3  # damaged files of a shard in a message


class ReadSources(PipelineStep):
    """Documents of a shard's parts. Bad lines go to the shard's quarantine, empty texts to the removals.

    A shard that was cut from a piece, whose parts have been read, has its documents stored below `work`.
    """

    name = "read"
    type = "curation"

    def __init__(
        self, shards: ReadOnly[Shard], packed_files: ReadOnly[bytes], work: Path, quarantine: Path, removals: Removals,
        keep_damaged: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        self.shards, self.packed_files, self.work, self.quarantine = shards, packed_files, work, quarantine
        self.removals, self.keep_damaged = removals, keep_damaged
        self._begun: InputFile | None = None

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        """Yield the documents of shard `rank`."""
        self.removals.begin(rank)
        shard = self.shards[rank]
        if shard.stored:
            yield from stored(self.work / shard.stored)
            return
        target = self.quarantine / f"{shard.stem}.jsonl"
        with atomic_path(target) as temporary, open(temporary, "w", encoding="utf-8") as quarantine:
            input_files = unpacked(self.packed_files[rank])
            documents = self._documents(input_files, shard.limit is None, quarantine)
            yield from map(as_datatrove, islice(documents, shard.limit))
            if shard.limit is not None and self._begun is not None:  # the limit may have ended it within a part
                check_unchanged(self._begun)

    def _documents(
        self, input_files: tuple[InputFile, ...], all_damage: bool, quarantine: Any
    ) -> Iterator[RawDocument]:
        """Documents of all files; under `all_damage` the others are still read after a damaged file, so that everything
        is told at once (not where a limit asks for the first ones only, as that could be the whole corpus).
        """
        damage: list[DataError] = []
        for input_file in input_files:
            self._begun = input_file
            try:
                for document in self._read(input_file, quarantine):
                    if not damage:
                        yield document
            except DataError as error:
                damage.append(error)
                if not all_damage:
                    break
        if damage:
            more = f"; and {len(damage) - _SHOWN} more files" if len(damage) > _SHOWN else ""
            raise DataError("; ".join(map(str, damage[:_SHOWN])) + more)

    def _read(self, input_file: InputFile, quarantine: Any) -> Iterator[RawDocument]:
        def on_bad(line: BadLine) -> None:
            quarantine.write(json.dumps(asdict(line), ensure_ascii=False) + "\n")

        def on_skip(document: RawDocument, reason: str) -> None:
            self.removals.add(as_datatrove(document), "read", reason)

        return read_hopefully(input_file, on_bad, on_skip, self.keep_damaged)


def packed(shards: Iterable[Shard]) -> ReadOnly[bytes]:
    """What every shard reads, so that a worker unpacks only its own: all together may be a million files.

    Pickled one by one because datatrove pickles a whole pipeline for every worker.
    """
    return ReadOnly(pickle.dumps(shard.input_files) for shard in shards)


def unpacked(packed_files: bytes) -> tuple[InputFile, ...]:
    """The inverse of `packed`, for one shard."""
    return pickle.loads(packed_files)  # noqa: S301  # our own


class ReadStored(PipelineStep):
    """Documents that an earlier pass has stored."""

    name = "read stored"
    type = "curation"

    def __init__(self, shards: ReadOnly[Shard], work: Path, removals: Removals | None = None) -> None:
        super().__init__()
        self.shards, self.work, self.removals = shards, work, removals

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        """Yield the documents of shard `rank`."""
        if self.removals is not None:
            self.removals.begin(rank)
        yield from stored(self.work / self.shards[rank].stored)
