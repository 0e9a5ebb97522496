"""Small datatrove steps for jobs of tests, in a module of their own, so that workers can import them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from datatrove.data import Document
from datatrove.pipeline.base import PipelineStep

from infra.errors import DataError
from infra.jobs.base import Job


class Numbers(PipelineStep):
    """`count` documents a rank, `pause` seconds apart."""

    name, type = "numbers", "test"

    def __init__(self, count: int = 3, pause: float = 0.0) -> None:
        super().__init__()
        self.count, self.pause = count, pause

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        for number in range(self.count):
            time.sleep(self.pause)
            yield Document(text=f"{rank} {number}", id=f"made:{number + 1}")


class Write(PipelineStep):
    """A rank's texts into `folder`; a second line says which process wrote them, when it is asked to."""

    name, type = "write", "test"

    def __init__(self, folder: Path, by: bool = False) -> None:
        super().__init__()
        self.folder, self.by = folder, by

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        texts = [document.text for document in data]
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / f"{rank}.txt").write_text(";".join(texts) + (f"\n{os.getpid()}" if self.by else ""))
        yield from ()


class Trip(PipelineStep):
    """Something bad at the second document of one rank: `data` (our error), `bug`, `kill` (-9 to this process), or
    `leave` (Slurm's word that the job will be stopped).

    With a `once` file it happens only while that file is not there.
    """

    name, type = "trip", "test"

    def __init__(self, rank: int, what: str, once: Path | None = None) -> None:
        super().__init__()
        self.rank, self.what, self.once = rank, what, once

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        for number, document in enumerate(data):
            if rank == self.rank and number == 1 and not (self.once and self.once.exists()):
                self.happen()
            yield document

    def happen(self) -> None:
        if self.once:
            self.once.touch()
        if self.what == "data":
            raise DataError("made.jsonl:2: not valid JSON")
        if self.what == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.what == "leave":
            os.kill(os.getpid(), signal.SIGUSR1)
        raise ZeroDivisionError("a bug")


def job_of(folder: Path, ranks: int, *steps: PipelineStep, by: bool = False, pause: float = 0.0) -> Job:
    """Numbers, the given steps, Write into `folder/out`."""
    labels = tuple(f"shard {rank}" for rank in range(ranks))
    return Job("made", (Numbers(pause=pause), *steps, Write(folder / "out", by)), labels, folder / "job")


def written(folder: Path) -> dict[int, str]:
    """What the ranks wrote."""
    return {int(file.stem): file.read_text() for file in sorted((folder / "out").glob("*.txt"))}


def expected(*ranks: int) -> dict[int, str]:
    """What they should have written."""
    return {rank: ";".join(f"{rank} {number}" for number in range(3)) for rank in ranks}
