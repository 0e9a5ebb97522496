"""What a pass removes: every document with its step and reason, in a Parquet file beside the shard."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datatrove.data import Document
from datatrove.pipeline.writers.disk_base import DiskWriter

from curation.corpus.documents import marks_of
from curation.corpus.tagged import as_row, removed_schema
from curation.shards.parquet_rows import RowsWriter
from infra.jobs.base import ReadOnly

if TYPE_CHECKING:
    from curation.shards.shard import Shard


class _Rows(RowsWriter):
    """Rows of removed documents."""

    def _default_adapter(self, document: Document) -> dict[str, Any]:
        step, reason = marks_of(document).removed or ("", "")
        return {**as_row(document), "step": step, "reason": reason}


@dataclass
class Removals:
    """The documents that one rank of a pass removes, and how many by step and reason. Shared by the pass's steps."""

    shards: ReadOnly[Shard]
    folder: Path
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    _rows: Any = None
    _rank: int = -1

    def begin(self, rank: int) -> None:
        """A rank begins; nothing is written before something is removed."""
        self._rank, self.counts, self._rows = rank, Counter(), None

    def add(self, document: Document, step: str, reason: str) -> None:
        """Keep a removed document."""
        if self._rows is None:
            self._rows = _Rows(self.shards, self.folder, removed_schema())
        marks_of(document).removed = (step, reason)
        self._rows.write(document, self._rank)
        self.counts[step, reason] += 1

    def finish(self) -> None:
        """The rank ends: give its file its name, if there is one."""
        if self._rows is not None:
            self._rows.close()
            self._rows.rename(self._rank)
            self._rows = None


class Removed(DiskWriter):
    """One step's way into the removals: datatrove's filters take it as their exclusion writer."""

    name = "removed"

    def __init__(self, removals: Removals, step: str) -> None:
        # not DiskWriter's: it would open a folder; datatrove's filters use `write` and `close`, and check the type
        self.removals, self.step = removals, step

    def write(self, document: Document, rank: int = 0, **kwargs: Any) -> None:
        """Take a document; the reason is the one that datatrove's filters leave in its metadata."""
        self.remove(document, str(document.metadata.pop("filter_reason", "")))

    def remove(self, document: Document, reason: str) -> None:
        """Take a document and say why."""
        self.removals.add(document, self.step, reason or self.step.partition("-")[2])

    def _write(self, document: dict[str, Any], file_handler: Any, filename: str) -> None:
        raise NotImplementedError  # `write` does all

    def close(self) -> None:
        """Nothing: the file belongs to the whole pass."""
