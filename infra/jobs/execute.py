"""A job run to the end wherever the workers are: processes of this machine, a Ray cluster, a Slurm array.

Ranks whose completion marker is there are skipped; one that fails does not stop the others, and at the end every
failure is told at once. So a job is finished, or it says what is missing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from infra.errors import RankFailure, RanksFailed
from infra.jobs.base import Job, Workers
from infra.jobs.local import LocalWorkers
from infra.jobs.ray import RayWorkers
from infra.jobs.spec import ExecutionSpec
from infra.render.progress import say
from infra.stages.job_state import announced
from infra.stages.stage import Workspace


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
    with _workers(workspace, execution or ExecutionSpec()) as workers:
        yield workers


def _workers(workspace: Workspace, settings: ExecutionSpec) -> contextlib.AbstractContextManager[Workers]:
    if workspace.ray is not None:
        return RayWorkers(workspace.ray, settings.ray, say if not workspace.quiet else lambda message: None)
    if settings.slurm is not None:
        from infra.jobs.slurm import SlurmWorkers

        return SlurmWorkers(settings.slurm)
    return LocalWorkers(workspace.workers)
