"""A sign of life of a running rank, for `hormesis status`, and the place it had reached when it failed."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datatrove.pipeline.base import PipelineStep

from infra.stages.job_state import write

if TYPE_CHECKING:
    from datatrove.data import Document

EVERY = 2.0  # seconds between two signs


class Pulse(PipelineStep):
    """Stands behind the first step of a pipeline, counts the documents that come by and changes nothing."""

    name = "pulse"
    type = "hormesis"

    def __init__(self, file: Path, reads: str) -> None:
        super().__init__()
        self.file, self.documents, self.last = file, 0, ""
        self.started = time.time()
        self._record = {"reads": reads, "started": self.started, "host": socket.gethostname(), "pid": os.getpid()}
        self.beat()

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        """Yield the documents of `data`."""
        due = time.monotonic() + EVERY
        for document in data or ():
            self.documents += getattr(document, "documents", 1)  # some jobs hand on how many they have done
            self.last = getattr(document, "id", "")  # jobs between passes may hand on other things than documents
            if time.monotonic() >= due:
                self.beat()
                due = time.monotonic() + EVERY
            yield document

    def beat(self) -> None:
        """Say how far this rank is."""
        write(self.file, {**self._record, "documents": self.documents, "at": time.time()})

    def ended(self) -> dict[str, Any]:
        """What the completion marker says."""
        now = time.time()
        return {"documents": self.documents, "seconds": now - self.started, "ended": now, "host": self._record["host"]}
