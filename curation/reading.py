"""First steps of a pass: documents of a shard's parts, or those that an earlier pass has stored."""

from __future__ import annotations

import json
import pickle
import posixpath
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datatrove.data import Document
from datatrove.pipeline.base import PipelineStep

from curation.documents import as_datatrove
from curation.parts import Part
from curation.records import BadLine, RawDocument
from curation.removed import Removals
from curation.source_spec import SourceSpec
from curation.sources import looks_like, read_part
from curation.stored import stored
from curation.versions import check_unchanged
from infra.atomic import atomic_path
from infra.errors import DataError

if TYPE_CHECKING:
    from curation.execution.base import Shared
    from curation.shards import Shard

_SHOWN = 3  # damaged files of a shard in a message
_HOPELESS = 100  # a file whose first lines are all bad is not the file that was meant: stop at once


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
        self._begun: Part | None = None

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        """Yield the documents of shard `rank`."""
        self.removals.begin(rank)
        shard = self.shards[rank]
        if shard.stored:
            yield from stored(self.work / shard.stored)
            return
        target = self.quarantine / f"{shard.place}.jsonl"
        with atomic_path(target) as temporary, open(temporary, "w", encoding="utf-8") as quarantine:
            parts = unpacked(self.parts[rank])
            documents = self._documents(parts, shard.limit is None, quarantine)
            yield from map(as_datatrove, islice(documents, shard.limit))
            if shard.limit is not None and self._begun is not None:  # the limit may have ended it within a part
                check_unchanged(self._begun)

    def _documents(self, parts: tuple[Part, ...], all_damage: bool, quarantine: Any) -> Iterator[RawDocument]:
        """Documents of all parts; under `all_damage` the others are still read after a damaged file, so that everything
        is told at once (not where a limit asks for the first ones only, as that could be the whole corpus).
        """
        damage: list[DataError] = []
        for part in parts:
            self._begun = part
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
        """Documents of a part; gives up when its first lines are all bad, or all there are. That a file could not be
        unpacked is no reason where such files are kept.
        """
        bad: list[BadLine] = []
        good = False

        def on_bad(line: BadLine) -> None:
            quarantine.write(json.dumps(asdict(line), ensure_ascii=False) + "\n")
            if not good and len(bad) < _HOPELESS:
                bad.append(line)
                if len(bad) == _HOPELESS:
                    reason = f"so are the {_HOPELESS - 1} lines after it, so the file is given up"
                    raise DataError(f"{bad[0]}; {reason}{looks_like(part)}")

        def on_skip(document: RawDocument, reason: str) -> None:
            nonlocal good
            good = True
            self.removals.add(as_datatrove(document), "read", reason)

        for document in read_part(part, on_bad, on_skip, self.keep_damaged):
            good = True
            yield document
        if bad and not good and _is_whole_file(part) and not all(line.damage for line in bad):
            raise DataError(f"{bad[0]}; nothing else of the file can be read either{looks_like(part)}")


def _is_whole_file(part: Part) -> bool:
    """Whether a part is a file with documents in it: not a piece of one, and not a text that is one document."""
    source = part.source
    one = isinstance(source, SourceSpec) and source.documents == "file" and ".txt" in posixpath.basename(part.location)
    return not part.count and not one


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
