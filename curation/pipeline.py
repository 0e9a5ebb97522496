"""The curation pipeline in datatrove's terms: read a part, score and tag it, write it, close the shard.

One task is one shard. Its Parquet file is written under another name and renamed when it is whole; then comes its
record (`work/shards/NNNNN.json`), then datatrove's completion marker. A killed run is taken up at the first task
without a marker.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from datatrove.data import Document
from datatrove.pipeline.base import PipelineStep
from datatrove.pipeline.writers import ParquetWriter

from curation.corpus import as_row, schema
from curation.execution import Job, Shared, execute
from curation.parts import Part
from curation.readers import as_datatrove, as_raw
from curation.records import BadLine, RawDocument
from curation.sources import read_part
from curation.spec import CurationSpec
from curation.summary import Summary
from curation.tagging import scored
from infra.atomic import atomic_path, write_json
from infra.errors import DataError
from infra.stage import Workspace

UNFINISHED = ".unfinished"
_HOPELESS = 100  # a file whose first lines are all bad is not the file that was meant: stop at once


@dataclass(frozen=True)
class Task:
    """One shard to be made: its corpus, its place in it, and the parts that go into it."""

    corpus: str
    shard: int
    parts: tuple[Part, ...]
    limit: int | None = None

    @property
    def file(self) -> str:
        """The shard's file, relative to the artifact."""
        return f"corpora/{self.corpus}/{self.shard:05d}.parquet"


class ReadParts(PipelineStep):
    """Documents of a task's parts; bad lines go to the task's quarantine."""

    name = "read"
    type = "curation"

    def __init__(self, tasks: Shared[Task], work: str) -> None:
        super().__init__()
        self.tasks, self.work = tasks, Path(work)

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        """Yield the documents of task `rank`."""
        task = self.tasks[rank]
        target = quarantine_of(self.work, rank)
        with atomic_path(target) as temporary, open(temporary, "w", encoding="utf-8") as quarantine:
            documents = (doc for part in task.parts for doc in _read_hopefully(part, quarantine))
            yield from map(as_datatrove, islice(documents, task.limit))


def _read_hopefully(part: Part, quarantine: Any) -> Iterator[RawDocument]:
    """Documents of a part; gives up when its first lines are all bad."""
    bad: list[BadLine] = []
    good = False

    def on_bad(line: BadLine) -> None:
        quarantine.write(json.dumps(asdict(line), ensure_ascii=False) + "\n")
        if not good and len(bad) < _HOPELESS:
            bad.append(line)
            if len(bad) == _HOPELESS:
                raise DataError(f"{bad[0]}; so are the {_HOPELESS - 1} lines after it, so the file is given up")

    for document in read_part(part, on_bad):
        good = True
        yield document


class ScoreAndTag(PipelineStep):
    """Scores and spans, put into each document's metadata, and the shard's summary."""

    name = "score and tag"
    type = "curation"

    def __init__(self, spec: CurationSpec, work: str) -> None:
        super().__init__()
        self.spec, self.work = spec, Path(work)

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        """Yield the documents of `data` with their scores."""
        summary = Summary()
        for document, scores, spans in scored(map(as_raw, data), self.spec):
            summary.add(document, scores, spans)
            row = as_datatrove(document)
            row.metadata |= {"scores": scores, "spans": spans}
            yield row
        with open(quarantine_of(self.work, rank), "rb") as quarantine:
            summary.bad_lines = sum(1 for _ in quarantine)
        write_json(self.work / "summaries" / f"{rank:05d}.json", summary.to_json())


class WriteShard(ParquetWriter):
    """datatrove's Parquet writer, which writes a task's shard under a temporary name."""

    def __init__(self, tasks: Shared[Task], folder: str) -> None:
        super().__init__(
            folder, "${rank}.parquet", compression="zstd", schema=schema(), max_file_size=-1,
            use_content_defined_chunking=False,
        )  # fmt: skip
        self.tasks = tasks

    def _get_output_filename(self, document: Document, rank: int | str = 0, **kwargs: Any) -> str:
        return rank if isinstance(rank, str) else _unfinished(self.tasks[rank])  # a str: datatrove's statistics

    def _default_adapter(self, document: Document) -> dict[str, Any]:
        return as_row(document)


class CloseShard(PipelineStep):
    """Runs the pipeline to its end, then gives the finished shard its name."""

    name = "close"
    type = "curation"

    def __init__(self, tasks: Shared[Task], folder: str) -> None:
        super().__init__()
        self.tasks, self.folder = tasks, Path(folder)

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        """Yield nothing."""
        import pyarrow.parquet as pq

        documents = sum(1 for _ in data)
        file = self.folder / self.tasks[rank].file
        unfinished = self.folder / _unfinished(self.tasks[rank])
        if not documents:  # then the writer has opened no file
            unfinished.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(schema().empty_table(), unfinished, compression="zstd")
        os.replace(unfinished, file)
        yield from ()


def run_tasks(spec: CurationSpec, tasks: list[Task], workspace: Workspace, work: Path) -> None:
    """Make every shard that is not there yet. Raises RanksFailed."""
    folder, shared = workspace.path, Shared(tasks)
    for name in ("quarantine", "summaries"):
        (work / name).mkdir(parents=True, exist_ok=True)
    for left in folder.glob(f"corpora/*/*{UNFINISHED}"):
        left.unlink(missing_ok=True)
    steps = (ReadParts(shared, str(work)), ScoreAndTag(spec, str(work)), WriteShard(shared, str(folder)),
             CloseShard(shared, str(folder)))  # fmt: skip
    labels = tuple(f"{task.corpus}: {task.parts[0].label}" for task in tasks)
    execute(Job(f"curate {spec.name}", steps, labels, work / "datatrove"), workspace)


def _unfinished(task: Task) -> str:
    """A shard's file while this process writes it; a worker of a run just killed may still be writing its own."""
    return f"{task.file}.{os.getpid()}{UNFINISHED}"


def quarantine_of(work: Path, rank: int) -> Path:
    """The bad lines of a task."""
    return work / "quarantine" / f"{rank:05d}.jsonl"


def summary_of(work: Path, rank: int) -> Summary:
    """The summary of a finished task."""
    return Summary.from_json(json.loads((work / "summaries" / f"{rank:05d}.json").read_text(encoding="utf-8")))
