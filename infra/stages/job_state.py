"""What the ranks of a running job leave on disk: who is at what, how far, what failed. `hormesis status` reads it.

    JOB/completions/00003    made by the rank when it is done: {documents, seconds, ended, host}
    JOB/running/00003.json   written every few seconds while it runs: {reads, documents, started, at, host, pid}
    JOB/failures/00003.json  why it failed: a RankFailure

and in the work folder `.job.json`, which says where JOB is. No file is synced: after a crash they may be lost, and then
a rank is run again.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from infra.errors import RankFailure

JOB_FILE = ".job.json"
_COMPLETIONS, _RUNNING, _FAILURES = "completions", "running", "failures"  # the first is datatrove's name
STRAGGLES = 3.0  # times the median duration of finished ranks


@dataclass(frozen=True)
class RunningRank:
    """What a rank has reported, `at` seconds since the epoch; it has run for `seconds`, and `straggles` where that is
    far longer than others took.
    """

    reads: str
    documents: int
    at: float
    host: str
    pid: int
    seconds: float
    straggles: bool


@dataclass(frozen=True)
class JobState:
    """A job as its files tell it. `documents` and `seconds` are those of this run, without earlier ones."""

    name: str
    ranks: int
    done: int
    documents: int
    seconds: float
    eta: float | None
    running: tuple[RunningRank, ...]
    failures: tuple[RankFailure, ...]

    @property
    def per_second(self) -> float:
        """Documents per second over all workers, since this run began."""
        return self.documents / self.seconds if self.seconds > 0 else 0.0


@contextlib.contextmanager
def announced(work: Path, job: Path, name: str, ranks: int) -> Iterator[None]:
    """Say in the work folder that a job runs; what is left of an earlier run's reports goes first.

    The word stays when the job fails or is killed, so that `status` can tell how it ended.
    """
    for reports in (_RUNNING, _FAILURES):
        shutil.rmtree(job / reports, ignore_errors=True)
    make_folders(job)
    folder_name = os.path.relpath(job, work)
    write(work / JOB_FILE, {"name": name, "ranks": ranks, "folder": folder_name, "started": time.time()})
    yield
    (work / JOB_FILE).unlink(missing_ok=True)


def make_folders(job: Path) -> None:
    """Make the folders in which ranks report."""
    for folder in (_COMPLETIONS, _RUNNING, _FAILURES):
        (job / folder).mkdir(parents=True, exist_ok=True)


def completion_marker(job: Path, rank: int) -> Path:
    """The file that is there when a rank is done."""
    return job / _COMPLETIONS / f"{rank:05d}"


def running_file(job: Path, rank: int) -> Path:
    """The file that is there while a rank runs."""
    return job / _RUNNING / f"{rank:05d}.json"


def unfinished_ranks(job: Path, ranks: int) -> list[int]:
    """Those of so many ranks that have no completion marker, in order."""
    done = {file.name for file in _files(job / _COMPLETIONS)}  # one look at the folder, not one for each rank
    return [rank for rank in range(ranks) if completion_marker(job, rank).name not in done]


def write(file: Path, value: object) -> None:
    """Write JSON so that a reader sees the old or the new, never a half."""
    temporary = file.with_name(f".{file.name}.{socket.gethostname()}.{os.getpid()}")
    temporary.write_text(json.dumps(value), encoding="utf-8")
    os.replace(temporary, file)


def report_failure(job: Path, failure: RankFailure) -> None:
    """Leave word of a rank that failed, and none of it running."""
    (job / _FAILURES).mkdir(parents=True, exist_ok=True)  # alone: not only jobs of many ranks report here
    write(job / _FAILURES / f"{failure.rank:05d}.json", asdict(failure))
    running_file(job, failure.rank).unlink(missing_ok=True)


def reported_failures(job: Path) -> tuple[RankFailure, ...]:
    """The ranks of a job that have failed, in order."""
    return tuple(RankFailure(**record) for record in _all(job / _FAILURES))


def forget_failures(job: Path) -> None:
    """Remove the words of an earlier try."""
    shutil.rmtree(job / _FAILURES, ignore_errors=True)


def job_state(work: Path) -> JobState | None:
    """The job that runs in a work folder, or None between jobs."""
    announcement = _read(work / JOB_FILE)
    if announcement is None:
        return None
    job, now = work / announcement["folder"], time.time()
    markers = _files(job / _COMPLETIONS)  # once, so that a rank that ends meanwhile is not half counted
    done = [record for marker in markers if (record := _read(marker))]
    running = _all(job / _RUNNING)
    failures = reported_failures(job)
    fresh = [record for record in done if record.get("ended", 0) >= announcement["started"]]
    seconds = now - announcement["started"]
    left = announcement["ranks"] - len(markers) - len(failures)
    eta = seconds / len(fresh) * left if fresh else None
    documents = sum(record["documents"] for record in (*fresh, *running))
    typical = median(record["seconds"] for record in done) if done else None
    marked = tuple(_running_rank(record, typical, now) for record in running)
    return JobState(
        announcement["name"], announcement["ranks"], len(markers), documents, seconds, eta, marked, failures
    )


def _running_rank(record: dict[str, Any], typical: float | None, now: float) -> RunningRank:
    seconds = now - record["started"]
    straggles = typical is not None and seconds > STRAGGLES * typical
    return RunningRank(
        reads=record["reads"],
        documents=record["documents"],
        at=record["at"],
        host=record["host"],
        pid=record["pid"],
        seconds=seconds,
        straggles=straggles,
    )


def _all(folder: Path) -> list[dict[str, Any]]:
    """Every report of a folder, in the order of ranks; one that vanishes meanwhile is left out."""
    return [record for file in _files(folder) if (record := _read(file)) is not None]


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.glob("*") if not file.name.startswith("."))


def _read(file: Path) -> dict[str, Any] | None:
    with contextlib.suppress(OSError, ValueError):
        return dict(json.loads(file.read_text(encoding="utf-8")))
    return None
