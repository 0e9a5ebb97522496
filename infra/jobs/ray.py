"""Ranks on a Ray cluster: actors that live as long as the command, so that a model is loaded once in each.

A rank is handed to an actor only when it is free, so nothing queues on a worker and no document passes through Ray.
An actor that dies with its process or its node is replaced, and its rank goes to another one. Nothing here is bound to
a node: every worker reads the sources and writes the work folder itself, so both must be where all nodes see them.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

from infra.cluster import RayCluster, connected, passed_on
from infra.errors import JobError, RankFailure
from infra.jobs.base import Job
from infra.jobs.spec import RayWorkersSpec
from infra.stages.job_state import report_failure

POLL = 1.0  # seconds after which the size of the cluster is looked at even if nothing has ended
PATIENCE = 60.0  # seconds without any worker after which the user is told what is missing
STILLBORN = 20  # workers that may die one after the other before they have run anything
TOKEN = ".seen-by-all"  # noqa: S105  # a file, no password


class CurationWorker:
    """The actor. It keeps the job at hand, and whatever the steps cache in their modules."""

    def __init__(self) -> None:
        self._held: Any = None
        self._job: Job | None = None

    def check(self, folder: str, token: str) -> str | None:
        """Why this node cannot take part: '' in time, or None when it can."""
        file = Path(folder) / TOKEN
        for _ in range(20):  # a network file system may show a new file some seconds late
            with contextlib.suppress(OSError):
                if file.read_text() == token:
                    return None
            time.sleep(0.5)
        return f"node {socket.gethostname()} does not see {folder}"

    def run(self, held: list[Any], rank: int) -> RankFailure | None:
        """Run one rank; `held` is the job's reference, in a list so that Ray does not unpack it for every rank."""
        import ray

        from infra.jobs.rank import run_rank

        if self._held != held[0]:
            self._held, self._job = held[0], ray.get(held[0])
        assert self._job is not None
        return run_rank(self._job, rank)


class RayWorkers:
    """A pool of actors that grows with the cluster and replaces what dies."""

    def __init__(self, cluster: RayCluster, options: RayWorkersSpec, tell: Callable[[str], None]) -> None:
        self.cluster, self.options, self.tell = cluster, options, tell
        self._open = contextlib.ExitStack()
        self._starting: dict[Any, Any] = {}  # reference of its check -> actor
        self._idle: list[Any] = []
        self._busy: dict[Any, tuple[Any, int]] = {}  # reference of its rank -> actor, rank
        self._stillborn = 0
        self._room = (0.0, 0)  # when it was looked at, workers

    def __enter__(self) -> RayWorkers:
        self._ray = self._open.enter_context(connected(self.cluster))
        needs = {"num_cpus": self.options.cpus, "num_gpus": self.options.gpus}
        if self.options.memory_gb:
            needs["memory"] = int(self.options.memory_gb * 1e9)
        environment = {"runtime_env": {"env_vars": passed}} if (passed := passed_on()) else {}
        worker = self._ray.remote(**needs)(CurationWorker)
        self._actor = worker.options(scheduling_strategy="SPREAD", **environment)
        return self

    def __exit__(self, *error: object) -> None:
        for actor in [*self._starting.values(), *self._idle, *(actor for actor, _ in self._busy.values())]:
            self._dismiss(actor)
        self._open.close()

    def run(self, job: Job, ranks: list[int]) -> Iterator[tuple[int, RankFailure | None]]:
        """Run `ranks`, yielding each as it ends."""
        held = self._ray.put(job)
        check = (str(job.logging_dir), _leave_token(job.logging_dir))
        todo, deaths = deque(ranks), Counter[int]()
        since = time.monotonic()
        while todo or self._busy:
            self._hire(len(todo) + len(self._busy), check)
            while todo and self._idle:
                actor, rank = self._idle.pop(), todo.popleft()
                self._busy[actor.run.remote([held], rank)] = (actor, rank)
            since = self._grumble(since)
            for rank, outcome in self._ended(job):
                if isinstance(outcome, _Death):
                    deaths[rank] += 1
                    if deaths[rank] <= self.options.deaths:
                        todo.append(rank)
                        continue
                    outcome = outcome.failure(job, rank, deaths[rank])
                yield rank, outcome

    def _hire(self, count: int, check: tuple[str, str]) -> None:
        """Start actors up to what there is to do and room for."""
        have = len(self._starting) + len(self._idle) + len(self._busy)
        for _ in range(min(count, self._capacity()) - have):
            actor = self._actor.remote()
            self._starting[actor.check.remote(*check)] = actor

    def _capacity(self) -> int:
        """How many workers there is room for now; with `--workers` a cluster that scales by itself is asked for all."""
        if self.cluster.workers is not None:
            return self.cluster.workers
        looked, room = self._room
        if time.monotonic() - looked > 10 * POLL:
            resources = self._ray.cluster_resources()
            needs = {"CPU": self.options.cpus, "GPU": self.options.gpus}
            room = min(int(resources.get(name, 0) // need) for name, need in needs.items() if need)
            self._room = (time.monotonic(), room)
        return max(1, room)

    def _ended(self, job: Job) -> Iterator[tuple[int, RankFailure | _Death | None]]:
        """Wait a little; yield the ranks that ended, one way or another."""
        done, _ = self._ray.wait([*self._starting, *self._busy], num_returns=1, timeout=POLL)
        for reference in done:
            if reference in self._starting:
                self._begin(self._starting.pop(reference), reference)
            else:
                actor, rank = self._busy.pop(reference)
                yield rank, self._outcome(job, actor, rank, reference)

    def _begin(self, actor: Any, reference: Any) -> None:
        """Take in a worker that has started, or take note that it did not."""
        try:
            problem = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            self._dismiss(actor)
            self._stillborn += 1
            if self._stillborn >= STILLBORN:
                raise JobError(f"{STILLBORN} Ray workers in a row died as they started: {_reason(error)}") from None
            return
        if problem:
            self._dismiss(actor)
            raise JobError(f"{problem}; sources and --out must lie in folders that every node of the cluster shares")
        self._stillborn = 0
        self._idle.append(actor)

    def _outcome(self, job: Job, actor: Any, rank: int, reference: Any) -> RankFailure | _Death | None:
        errors = self._ray.exceptions
        try:
            failure: RankFailure | None = self._ray.get(reference)
        except errors.RayTaskError as error:  # not by a step: the job could not be unpacked there, or written about
            failure = RankFailure(rank, job.labels[rank], "", f"on the worker: {_reason(error)}")
            report_failure(job.logging_dir, failure)
        except errors.RayError as error:
            self._dismiss(actor)
            return _Death(_reason(error))
        self._idle.append(actor)
        return failure

    def _grumble(self, since: float) -> float:
        """Tell once in a while that nobody works; returns since when."""
        if self._idle or self._busy:
            return time.monotonic()
        if time.monotonic() - since < PATIENCE:
            return since
        resources = {name: self._ray.cluster_resources().get(name, 0) for name in ("CPU", "GPU")}
        needs = f"{self.options.cpus:g} CPU" + (f" and {self.options.gpus:g} GPU" if self.options.gpus else "")
        self.tell(f"waiting for Ray: a worker needs {needs}; the cluster has {resources['CPU']:g} CPU and "
                  f"{resources['GPU']:g} GPU in all, and none has started yet")  # fmt: skip
        return time.monotonic()

    def _dismiss(self, actor: Any) -> None:
        with contextlib.suppress(Exception):  # it may be dead, or the cluster gone
            self._ray.kill(actor)


class _Death:
    """A worker that died while it ran a rank."""

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def failure(self, job: Job, rank: int, times: int) -> RankFailure:
        """The rank is given up."""
        reason = f"its worker died {times} times, the last time: {self.reason}"
        failure = RankFailure(rank, job.labels[rank], "", reason)
        report_failure(job.logging_dir, failure)
        return failure


def _leave_token(folder: Path) -> str:
    """A file in the work folder that a worker must see, or it would write its shards where nobody looks."""
    token = uuid4().hex
    folder.mkdir(parents=True, exist_ok=True)
    (folder / TOKEN).write_text(token)
    return token


def _reason(error: BaseException) -> str:
    """The telling line of one of Ray's errors, which are long."""
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
