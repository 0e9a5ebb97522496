"""One rank, in the process that runs it: datatrove's executor for its log, statistics and completion marker."""

from __future__ import annotations

import re
from copy import deepcopy
from typing import IO, Any

import datatrove.executor.base as base
from datatrove.executor.base import DistributedEnvVars, PipelineExecutor
from loguru import logger

from infra.errors import HormesisError, RankFailure
from infra.files.open_files import require
from infra.jobs.base import Job
from infra.jobs.pulse import Pulse
from infra.stages.job_state import completion_marker, make_folders, report_failure, running_file, write

_LOCATED = re.compile(r"(?P<where>[^\n]+?:\d+): (?P<reason>.*)", re.DOTALL)


class RankExecutor(PipelineExecutor):
    """datatrove's executor for one rank that somebody else hands out."""

    def __init__(self, job: Job, rank: int) -> None:
        steps = deepcopy(list(job.pipeline))  # steps keep the statistics of one rank
        self.pulse = Pulse(running_file(job.logging_dir, rank), job.labels[rank])
        super().__init__([*steps[:1], self.pulse, *steps[1:]], str(job.logging_dir))
        self.job = job

    @property
    def world_size(self) -> int:
        """Number of ranks of the job."""
        return len(self.job.labels)

    def get_distributed_env(self, node_rank: int = -1) -> DistributedEnvVars:
        """What datatrove tells its steps about the place they run in."""
        return DistributedEnvVars(
            datatrove_node_ips="", datatrove_cpus_per_task="1", datatrove_mem_per_cpu="-1",
            datatrove_gpus_on_node="0", datatrove_executor="HORMESIS",
        )  # fmt: skip

    def run(self) -> None:
        """Not used: `run_rank` runs one rank."""
        raise NotImplementedError

    def mark_rank_as_completed(self, rank: int) -> None:
        """datatrove's marker, which is empty there and says here how many documents it stands for."""
        write(completion_marker(self.job.logging_dir, rank), self.pulse.ended())
        self.pulse.file.unlink(missing_ok=True)


def run_rank(job: Job, rank: int) -> RankFailure | None:
    """Run one rank here. Whatever its steps raise becomes the failure that is returned; the traceback is in its log."""
    make_folders(job.logging_dir)
    base.add_task_logger, base.close_task_logger = LOG.open, LOG.close
    executor = RankExecutor(job, rank)
    try:
        require(job.open_files, f"the job {job.name}")
        executor._run_for_rank(rank)
    except Exception as error:
        failure = _failure(job, rank, error, executor.pulse.last)
        report_failure(job.logging_dir, failure)
        return failure
    finally:
        executor.pulse.file.unlink(missing_ok=True)
    return None


def _failure(job: Job, rank: int, error: Exception, last: str) -> RankFailure:
    """Why a rank failed: our own errors name their file and line; of others the document read last tells the place.

    Steps that work in batches may have failed on one of the documents before it.
    """
    if not isinstance(error, HormesisError):
        log = job.logging_dir / "logs" / f"task_{rank:05d}.log"
        reason = f"unexpected {type(error).__name__}: {error} (traceback in {log})"
        return RankFailure(rank, job.labels[rank], f"up to {last}" if last else "", reason)
    if match := _LOCATED.fullmatch(str(error)):
        return RankFailure(rank, job.labels[rank], match["where"], match["reason"])
    return RankFailure(rank, job.labels[rank], "", str(error))


class _Log:
    """loguru's handler of this process, made once, as that takes as long as reading hundreds of documents; it writes to
    the log of the rank that runs.
    """

    file: IO[str] | None = None
    handler: int | None = None

    def open(self, logging_dir: Any, rank: int, local_rank: int, node_rank: int = -1) -> IO[str]:
        """Begin a rank's log, as datatrove asks for it."""
        if self.handler is None:
            self.silence()
            # a full disk is the rank's error, not 20 tracebacks
            self.handler = logger.add(self._write, colorize=False, level="INFO", catch=False)
        logger.enable("datatrove")  # a training of a tagger in this process has switched it off
        self.file = logging_dir.open(f"logs/task_{rank:05d}.log", "w")
        return self.file

    def _write(self, message: str) -> None:
        if self.file is not None:
            self.file.write(message)
            self.file.flush()

    def close(self, file: IO[str]) -> None:
        """End a rank's log."""
        self.file = None
        file.close()

    def silence(self) -> None:
        """Take all handlers away: loguru's own, and datatrove's, write every rank's log to the terminal."""
        logger.remove()
        self.handler = None


LOG = _Log()
