"""Parquet files of a pass: written under another name, in row groups that are bounded in bytes, then renamed."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pyarrow.parquet as pq
from datatrove.data import Document
from datatrove.pipeline.writers import ParquetWriter

from curation.corpus.tagged import as_row
from infra.jobs.base import ReadOnly

if TYPE_CHECKING:
    import pyarrow as pa

    from curation.shards.shard import Shard

UNFINISHED = ".unfinished"
_GROUP_CHARACTERS = 16_000_000  # of text in a row group, unless a single document is longer


class RowsWriter(ParquetWriter):
    """datatrove's Parquet writer for `folder/CORPUS/NNNNN.parquet`, a rank a file.

    It is asked for three things in methods of its own that are not public (datatrove 0.10): the name of a document's
    file, the row of a document, and to end a row group by bytes and not only by number.
    """

    def __init__(self, shards: ReadOnly[Shard], folder: Path, schema: pa.Schema) -> None:
        super().__init__(
            str(folder), "${rank}.parquet", compression="zstd", schema=schema, max_file_size=-1,
            use_content_defined_chunking=False,  # made for hubs, which store equal chunks once
        )  # fmt: skip
        self.shards, self.folder, self._held = shards, Path(folder), 0
        # a worker of a run just killed, or of a node given up, may still be writing its own
        self._suffix = f"{socket.gethostname()}-{os.getpid()}{UNFINISHED}"

    def rename(self, rank: int) -> None:
        """Give the finished file of a rank its name; a rank that wrote no row gets an empty file."""
        unfinished = self.folder / self._unfinished(rank)
        if not unfinished.exists():
            unfinished.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(self.schema.empty_table(), unfinished, compression="zstd")
        os.replace(unfinished, self.folder / f"{self.shards[rank].stem}.parquet")

    def _unfinished(self, rank: int) -> str:
        return f"{self.shards[rank].stem}.{self._suffix}"

    def _get_output_filename(self, document: Document, rank: int | str = 0, **kwargs: Any) -> str:
        return rank if isinstance(rank, str) else self._unfinished(rank)  # a str: datatrove's statistics

    def _default_adapter(self, document: Document) -> dict[str, Any]:
        return as_row(document)

    def _write(self, document: dict[str, Any], file_handler: IO[bytes], filename: str) -> None:
        # datatrove collects a thousand rows whatever they hold: of long documents, gigabytes before it writes
        super()._write(document, file_handler, filename)
        self._held += len(document["text"])
        if self._held > _GROUP_CHARACTERS:
            self._write_batch(filename)
        if not self._batches[filename]:  # written just now, by the line above or by datatrove
            self._held = 0
