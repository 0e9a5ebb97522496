"""Ranks as the tasks of a Slurm array, by way of datatrove's executor; the command waits for the array to end."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from datatrove.executor import SlurmPipelineExecutor

from infra.errors import RankFailure, UnavailableError
from infra.jobs.base import Job
from infra.jobs.rank import run_rank
from infra.jobs.slurm_cli import queued, requeue_this_task, require_slurm
from infra.jobs.spec import SlurmArraySpec
from infra.stages.job_state import report_failure, reported_failures

POLL = 10.0  # seconds between two looks at the queue
ARRAY = "slurm_array"  # file that keeps the id of the array, for a command that is killed and run again


TOLD = signal.SIGUSR1
"""Signal that `sbatch_args: {signal: USR1@300}` sends ahead of the time limit."""


class SlurmExecutor(SlurmPipelineExecutor):
    """datatrove's executor, whose tasks leave the same markers and reports as ranks do anywhere else."""

    def __init__(self, job: Job, options: SlurmArraySpec) -> None:
        name = "-".join(job.name.split())  # sbatch takes it in one piece
        super().__init__([], len(job.labels), logging_dir=str(job.logging_dir), job_name=name,
                         requeue_signals=None, **options.model_dump())  # fmt: skip
        self.job = job

    def run(self) -> None:
        """In a task of the array: run its ranks; told that it will be stopped, go back into the queue.

        datatrove would requeue SLURM_JOB_ID, which for one of the tasks is the number of the whole array.
        """
        signal.signal(TOLD, _leave)
        super().run()

    def _run_for_rank(self, rank: int, local_rank: int = 0, node_rank: int = -1) -> None:
        run_rank(self.job, rank)

    def save_executor_as_json(self, indent: int = 4) -> None:
        """Nothing: the artifact holds the configuration."""

    def launch_merge_stats(self) -> None:
        """Nothing: a job of its own only for statistics that are summed here anyway."""


class SlurmWorkers:
    """Hands a job's ranks to Slurm and waits. An array left by a killed command is waited for, not sent twice."""

    def __init__(self, options: SlurmArraySpec, poll: float = POLL) -> None:
        self.options, self.poll = options, poll

    def __enter__(self) -> SlurmWorkers:
        require_slurm("execution.slurm")
        return self

    def __exit__(self, *error: object) -> None: ...

    def run(self, job: Job, ranks: list[int]) -> Iterator[tuple[int, RankFailure | None]]:
        """Run `ranks`, yielding each as it ends."""
        waiting = set(ranks)
        if earlier := _earlier(job):
            yield from self._ended(job, earlier, waiting)
        if waiting:
            array = self._submit(job)
            yield from self._ended(job, array, waiting)
        for rank in sorted(waiting):
            yield rank, _vanished(job, rank)

    def _submit(self, job: Job) -> str:
        executor = SlurmExecutor(job, self.options)
        try:
            executor.launch_job()
        except subprocess.CalledProcessError as error:
            raise UnavailableError(f"execution.slurm: sbatch refused the job: {error}") from None
        (job.logging_dir / ARRAY).write_text(str(executor.job_id))
        return str(executor.job_id)

    def _ended(self, job: Job, array: str, waiting: set[int]) -> Iterator[tuple[int, RankFailure | None]]:
        """Yield ranks as their markers or failures appear, and take them out of `waiting`, until the array is gone."""
        grace = 1  # a look after the array has gone: a network file system may show the last markers late
        while waiting and grace >= 0:
            grace -= not queued(array)
            unfinished = set(job.unfinished())
            failures = {failure.rank: failure for failure in reported_failures(job.logging_dir)}
            for rank in sorted(waiting):
                if rank not in unfinished or rank in failures:
                    waiting.remove(rank)
                    yield rank, failures.get(rank) if rank in unfinished else None
            if waiting:
                time.sleep(self.poll)


def _leave(_number: int, _frame: FrameType | None) -> None:
    requeue_this_task()
    sys.exit(128 + TOLD)


def _earlier(job: Job) -> str | None:
    """The array of a command that was killed, while Slurm still has it."""
    with contextlib.suppress(OSError):
        array = (job.logging_dir / ARRAY).read_text()
        return array if queued(array) else None
    return None


def _vanished(job: Job, rank: int) -> RankFailure:
    """A rank that Slurm is done with and that has left no word."""
    logs = Path(job.logging_dir) / "slurm_logs"
    reason = f"its Slurm task ended without a word: time limit, memory, or cancelled (see {logs})"
    failure = RankFailure(rank, job.labels[rank], "", reason)
    report_failure(job.logging_dir, failure)
    return failure
