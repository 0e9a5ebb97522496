"""Work that is cut into items, each of them a rank of a job. It runs where a curation's ranks run, by the same code: on
this machine, on Ray or under Slurm.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from datatrove.pipeline.base import PipelineStep

from infra.jobs.base import Job, ReadOnly, Workers
from infra.jobs.execute import execute
from infra.stages.stage import Workspace

T = TypeVar("T")
JOBS = ".jobs"  # in the work folder: logs and completion markers; gone from the finished artifact


@dataclass(frozen=True)
class Done:
    """So many documents are done: one object for many, as a rank may do a million in a second."""

    documents: int


class Each(PipelineStep, Generic[T]):
    """Does the work of one item; what it yields are numbers of documents, which are this rank's sign of life."""

    name = "each"
    type = "mixture"

    def __init__(self, work: Callable[[T], Iterable[int]], items: ReadOnly[T]) -> None:
        super().__init__()
        self.work, self.items = work, items

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Any]:
        """Yield what is done, as it is done."""
        yield from map(Done, self.work(self.items[rank]))


def for_each(
    name: str,
    work: Callable[[T], Iterable[int]],
    items: Sequence[T],
    labels: Iterable[str],
    workspace: Workspace,
    workers: Workers | None = None,
) -> None:
    """Do `work` for every item that is not done yet, on `workers` or on workers of its own; `labels` name the items.

    An item is whole before its rank is marked as done. Raises RanksFailed when all the others are done.
    """
    job = Job(name, (Each(work, ReadOnly(items)),), tuple(labels), workspace.path / JOBS / "-".join(name.split()))
    execute(job, workspace, workers)


def alone(workspace: Workspace) -> Workspace:
    """The same workspace with this process as its only worker: for work that is done before others have started."""
    return replace(workspace, workers=1, ray=None)


def forget_jobs(workspace: Workspace) -> None:
    """Remove what the jobs kept to themselves, when all of them are done."""
    shutil.rmtree(workspace.path / JOBS, ignore_errors=True)
