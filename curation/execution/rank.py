"""One rank, in the process that runs it: datatrove's executor for its log, statistics and completion marker."""

from __future__ import annotations

import re
from copy import deepcopy
from typing import Any

from datatrove.executor.base import DistributedEnvVars, PipelineExecutor

from curation.execution.base import Job
from infra.errors import HormesisError, RankFailure

_PLACE = re.compile(r"(?P<where>[^\n]+?:\d+): (?P<reason>.*)", re.DOTALL)


class RankExecutor(PipelineExecutor):
    """datatrove's executor for ranks that somebody else hands out."""

    def __init__(self, job: Job) -> None:
        super().__init__(deepcopy(list(job.pipeline)), str(job.logging_dir))  # steps keep the statistics of one rank
        self.ranks = len(job.labels)

    @property
    def world_size(self) -> int:
        """Number of ranks of the job."""
        return self.ranks

    def get_distributed_env(self, node_rank: int = -1) -> DistributedEnvVars:
        """What datatrove tells its steps about the place they run in."""
        return DistributedEnvVars(
            datatrove_node_ips="", datatrove_cpus_per_task="1", datatrove_mem_per_cpu="-1",
            datatrove_gpus_on_node="0", datatrove_executor="HORMESIS",
        )  # fmt: skip

    def run(self) -> None:
        """Not used: `run_rank` runs one rank."""
        raise NotImplementedError


def run_rank(job: Job, rank: int) -> RankFailure | None:
    """Run one rank here. Whatever its steps raise becomes the failure that is returned; the traceback is in its log."""
    import datatrove.executor.base as base

    (job.logging_dir / "completions").mkdir(parents=True, exist_ok=True)
    base.add_task_logger, base.close_task_logger = _log_to_file, _close_log
    try:
        RankExecutor(job)._run_for_rank(rank)
    except Exception as error:
        return failure_of(job, rank, error)
    return None


def failure_of(job: Job, rank: int, error: BaseException) -> RankFailure:
    """Why a rank failed, with the file and line that one of our own errors begins with."""
    message = str(error) if isinstance(error, HormesisError) else f"{type(error).__name__}: {error}"
    if isinstance(error, HormesisError) and (found := _PLACE.fullmatch(message)):
        return RankFailure(rank, job.labels[rank], found["where"], found["reason"])
    return RankFailure(rank, job.labels[rank], "", message)


def _log_to_file(logging_dir: Any, rank: int, local_rank: int, node_rank: int = -1) -> Any:
    from loguru import logger

    logger.remove()
    file = logging_dir.open(f"logs/task_{rank:05d}.log", "w")
    logger.add(file, colorize=False, level="INFO")
    return file


def _close_log(file: Any) -> None:
    from loguru import logger

    logger.remove()
    file.close()
