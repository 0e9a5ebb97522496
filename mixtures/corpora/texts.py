"""The texts of a tagged corpus as datatrove's steps take them: the first step of jobs that look at every document."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from datatrove.data import Document
from datatrove.pipeline.base import PipelineStep

from infra.errors import DataError
from infra.jobs.base import ReadOnly
from mixtures.corpora.columns import batches

ROW = "row"


class ReadTexts(PipelineStep):
    """Documents of shard `rank`, each with its row in the metadata."""

    name = "read texts"
    type = "mixture"

    def __init__(self, shards: ReadOnly[Path]) -> None:
        super().__init__()
        self.shards = shards

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        """Yield them in order. Raises DataError on a document without text."""
        for first, batch in batches(self.shards[rank], ["id", "text"]):
            rows = zip(batch.column("id").to_pylist(), batch.column("text").to_pylist(), strict=True)
            for row, (name, text) in enumerate(rows, start=first):
                if text is None:
                    raise DataError(f"{self.shards[rank]}:{row}: the document has no text")
                yield Document(text=text, id=name, metadata={ROW: row})
