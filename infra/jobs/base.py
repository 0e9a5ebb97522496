"""Jobs: one datatrove pipeline over many ranks, run to the end wherever the workers are.

A rank is the unit of work and of retry. Ranks whose completion marker is there are skipped; one that fails does not
stop the others, and at the end every failure is told at once. So a job is finished, or it says what is missing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from infra.errors import RankFailure, RanksFailed
from infra.jobs.spec import ExecutionSpec
from infra.render.progress import say
from infra.stages.job_state import announced, unfinished_ranks
from infra.stages.stage import Workspace

if TYPE_CHECKING:
    from datatrove.pipeline.base import PipelineStep

T = TypeVar("T")


@dataclass(frozen=True)
class Job:
    """A pipeline and what each of its ranks reads.

    The steps are pickled to the workers and copied for every rank, so that no rank sees what another one left behind;
    what all ranks only read (the list of shards) goes into a `ReadOnly`, which is not copied. `labels` name for people
    what each rank reads. `logging_dir` holds datatrove's logs, statistics and completion markers, and must lie where
    all workers can write. `open_files` is what a rank has open at once, where that grows with the corpus.
    """

    name: str
    pipeline: tuple[PipelineStep, ...]
    labels: tuple[str, ...]
    logging_dir: Path
    open_files: int = 0

    def unfinished(self) -> list[int]:
        """Ranks without a completion marker, in order."""
        return unfinished_ranks(self.logging_dir, len(self.labels))


class ReadOnly(tuple[T, ...]):
    """A tuple that every rank reads and none changes: copying the steps for a rank leaves it where it is."""

    __slots__ = ()

    def __deepcopy__(self, memo: dict[int, Any]) -> ReadOnly[T]:
        return self


class Workers(Protocol):
    """Processes that run ranks; what is loaded in one (a model) stays loaded from rank to rank and from job to job."""

    def run(self, job: Job, ranks: list[int]) -> Iterator[tuple[int, RankFailure | None]]:
        """Run `ranks`, yielding each as it ends: None when it is done, else why it is not."""


def execute(job: Job, workspace: Workspace, workers: Workers | None = None) -> None:
    """Run every rank of a job that is not done yet; without `workers`, on workers made for this job alone.

    Raises RanksFailed when all others are done.
    """
    todo, ranks = job.unfinished(), len(job.labels)
    if not todo:
        return
    failures: list[RankFailure] = []
    with contextlib.ExitStack() as stack:
        workers = workers or stack.enter_context(opened(workspace))
        stack.enter_context(announced(workspace.path, job.logging_dir, job.name, ranks))
        advance = stack.enter_context(workspace.progress(job.name, ranks, "ranks", done=ranks - len(todo)))
        for _, failure in workers.run(job, todo):
            if failure is not None:
                failures.append(failure)
            advance(1)
        if failures:
            raise RanksFailed(job.name, ranks, failures)


@contextlib.contextmanager
def opened(workspace: Workspace, execution: ExecutionSpec | None = None) -> Iterator[Workers]:
    """Workers for several jobs, one after the other; they end with the block. `--ray` goes before `slurm:`."""
    settings = execution or ExecutionSpec()
    with _made(workspace, settings) as workers:
        yield workers


def _made(workspace: Workspace, settings: ExecutionSpec) -> contextlib.AbstractContextManager[Workers]:
    if workspace.ray is not None:
        from infra.jobs.ray import RayWorkers

        return RayWorkers(workspace.ray, settings.ray, say if not workspace.quiet else lambda message: None)
    if settings.slurm is not None:
        from infra.jobs.slurm import SlurmWorkers

        return SlurmWorkers(settings.slurm)
    from infra.jobs.local import LocalWorkers

    return LocalWorkers(workspace.workers)
