"""Ranks in processes of this machine."""

from __future__ import annotations

import contextlib
import pickle
import tempfile
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache
from pathlib import Path

from infra.errors import RankFailure
from infra.jobs.base import Job
from infra.jobs.processes import worker_pool
from infra.stages.job_state import report_failure

Ended = tuple[int, RankFailure | None]

DIED = "its process was killed (out of memory?), alone on the machine too; run again with a machine that has more"


class LocalWorkers:
    """datatrove's local executor with three things of its own: workers end with the command, however that ends; they
    keep what they have loaded; and the death of one costs a retry, where datatrove waits for ever.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._open = contextlib.ExitStack()
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> LocalWorkers:
        return self

    def __exit__(self, *error: object) -> None:
        self._open.__exit__(*error)  # type: ignore[arg-type]

    def run(self, job: Job, ranks: list[int]) -> Iterator[Ended]:
        """Run `ranks`, yielding each as it ends."""
        from infra.jobs.rank import LOG, run_rank

        LOG.silence()
        if min(self.workers, len(ranks)) == 1:
            yield from ((rank, run_rank(job, rank)) for rank in ranks)
            return
        todo = deque(ranks)
        with _handed_over(job) as file:
            while todo:
                suspects = yield from self._together(file, todo)
                for rank in suspects:
                    yield rank, _alone(job, file, rank)

    def _together(self, file: str, todo: deque[int]) -> Generator[Ended, None, list[int]]:
        """Run ranks side by side until none is left, or a worker dies: then return those that were running."""
        running: dict[Future[RankFailure | None], int] = {}
        try:
            while todo or running:
                while todo and len(running) < self.workers:
                    future = self._running_pool().submit(_run_handed_over, file, todo[0])
                    running[future] = todo.popleft()
                for ended in wait(running, return_when=FIRST_COMPLETED).done:
                    failure = ended.result()
                    yield running.pop(ended), failure
        except BrokenProcessPool:
            self._open.close()
            self._pool = None
        return sorted(running.values())

    def _running_pool(self) -> ProcessPoolExecutor:
        if self._pool is None:
            self._pool = self._open.enter_context(worker_pool(self.workers))
        return self._pool


def _alone(job: Job, file: str, rank: int) -> RankFailure | None:
    """Try a rank that ran when a worker died once more, with nothing beside it."""
    with worker_pool(1) as pool:
        try:
            return pool.submit(_run_handed_over, file, rank).result()
        except BrokenProcessPool:
            failure = RankFailure(rank, job.labels[rank], "", DIED)
            report_failure(job.logging_dir, failure)
            return failure


@contextlib.contextmanager
def _handed_over(job: Job) -> Iterator[str]:
    """The job in a private file, which every worker reads once: long lists of shards are not sent for every rank."""
    with tempfile.TemporaryDirectory(prefix="hormesis-") as folder:
        file = Path(folder) / "job"
        file.write_bytes(pickle.dumps(job))
        yield str(file)


def _run_handed_over(file: str, rank: int) -> RankFailure | None:
    from infra.jobs.rank import run_rank

    return run_rank(_job_in(file), rank)


@lru_cache(maxsize=1)
def _job_in(file: str) -> Job:
    return pickle.loads(Path(file).read_bytes())  # noqa: S301  # our own, in a folder of this user only
