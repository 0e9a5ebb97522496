"""Process groups of one run: made when it begins, gone when it ends, so that a process can run several in turn."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta

import torch
import torch.distributed as dist
from megatron.core import parallel_state
from megatron.core.tensor_parallel import model_parallel_cuda_manual_seed

from infra.errors import ConfigError, JobError, Problem
from pretrain.runtime.device import backend, current_device
from pretrain.runtime.late import Late
from pretrain.runtime.megatron_patches import cpu_as_cuda
from pretrain.spec import COLLECTIVE_TIMEOUT, ParallelSpec

_READY = "ready"
_AS_LONG_AS_IT_TAKES = timedelta(days=14)
_MEETING = timedelta(minutes=10)  # nodes of one job start some minutes apart
_TIMED_OUT = re.compile(r"tim(ed|e) ?out", re.IGNORECASE)
_runs = itertools.count()  # every run takes keys of its own in torchrun's store, which outlives the run


def world_size() -> int:
    """Number of processes: what torchrun says, else one."""
    return int(os.environ.get("WORLD_SIZE", "1"))


@contextlib.contextmanager
def process_groups(
    parallel: ParallelSpec,
    seed: int,
    *,
    timeout: float = COLLECTIVE_TIMEOUT,
    first: Callable[[], object] | None = None,
) -> Iterator[None]:
    """Initialise torch.distributed and Megatron's groups for one run; on a CPU, also the CUDA shim.

    `first` is what rank 0 does before there are groups: the others wait as long as that takes, and what it has done
    before it came here. In a collective they wait `timeout` minutes. Without torchrun the store lives in this process:
    no port is taken. Random state and groups are as before afterwards. Raises ConfigError when the ranks do not divide
    into copies of the model, JobError when groups exist already, when `first` fails on rank 0, and when a collective
    takes too long.
    """
    if dist.is_initialized():
        raise JobError("torch.distributed is already initialised in this process; run trainings one after another")
    ranks = world_size()
    if ranks % parallel.copy_size:
        needed = f"tensor × pipeline × context = {parallel.copy_size} ranks"
        message = f"{ranks} rank(s) do not divide into copies of the model on {needed}"
        raise ConfigError([Problem("parallel", "", message)])
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    hook = sys.excepthook
    with _timeouts_explained(timeout), torch.random.fork_rng(), cpu_as_cuda(), _quiet_megatron():
        _initialise(timedelta(minutes=timeout), first)
        try:
            parallel_state.initialize_model_parallel(
                parallel.tensor,
                parallel.pipeline,
                context_parallel_size=parallel.context,
                distributed_timeout_minutes=timeout,
            )
            model_parallel_cuda_manual_seed(seed)
            yield
        finally:
            parallel_state.destroy_model_parallel()
            dist.destroy_process_group()
            sys.excepthook = hook  # init_process_group puts "[rank0]:" before every traceback from then on


@contextlib.contextmanager
def _quiet_megatron() -> Iterator[None]:
    """Keep Megatron's warnings about its own defaults from the user's terminal."""
    logger = logging.getLogger("megatron")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextlib.contextmanager
def _timeouts_explained(minutes: float) -> Iterator[None]:
    """gloo raises where a collective takes too long; under NCCL a watchdog ends the process and says why in its log."""
    try:
        yield
    except RuntimeError as error:
        if not _TIMED_OUT.search(str(error)):
            raise
        raise JobError(
            f"the other ranks did not come to a collective within {minutes:g} minutes: one has died or hangs (see the "
            "logs of all ranks), or it is only slow; then raise collective_timeout"
        ) from error


def _initialise(timeout: timedelta, first: Callable[[], object] | None) -> None:
    if "WORLD_SIZE" not in os.environ:
        if first is not None:
            first()
        dist.init_process_group(backend(), store=dist.HashStore(), rank=0, world_size=1, timeout=timeout)
        return
    store, rank, ranks = next(dist.rendezvous("env://", timeout=_MEETING if first is None else _AS_LONG_AS_IT_TAKES))
    store = dist.PrefixStore(f"hormesis-{next(_runs)}", store)
    if first is not None:
        _after_the_first(store, rank, first)
    dist.init_process_group(backend(), store=store, rank=rank, world_size=ranks, timeout=timeout)


def _after_the_first(store: dist.Store, rank: int, first: Callable[[], object]) -> None:
    """Rank 0 does `first`, however long it takes; the others fail where it has failed."""
    if rank != 0:
        store.wait([_READY], _AS_LONG_AS_IT_TAKES)
        if reason := store.get(_READY).decode():
            raise JobError(reason)
        return
    try:
        first()
    except Exception as error:
        store.set(_READY, str(error) or type(error).__name__)  # never "", by which the others would go on
        raise
    store.set(_READY, "")


def is_first() -> bool:
    """Whether this process writes files and speaks to the user."""
    return dist.get_rank() == 0


def first_copy(timeout: float) -> tuple[list[int], dist.ProcessGroup | None]:
    """The ranks that hold the first copy of the weights, stage by stage of the pipeline and in each by tensor rank; and
    their group, in which CPUs send whatever the device is and wait `timeout` minutes (None on other ranks). Collective.
    """
    stages = parallel_state.get_pipeline_model_parallel_world_size()
    tensor = parallel_state.get_tensor_model_parallel_world_size()
    apart = dist.get_world_size() // stages
    ranks = [stage * apart + rank for stage in range(stages) for rank in range(tensor)]
    within = timedelta(minutes=timeout)
    group = dist.new_group(ranks, timeout=within, backend="gloo")
    if dist.get_rank() not in ranks:
        return ranks, None
    assert ranks == sorted(dist.get_process_group_ranks(parallel_state.get_model_parallel_group()))
    return ranks, group


def data_parallel() -> tuple[int, int]:
    """Rank and number of ranks over which samples are divided."""
    return parallel_state.get_data_parallel_rank(), parallel_state.get_data_parallel_world_size()


def any_rank(*flags: bool) -> Late:
    """Which of the flags is up on any rank, as 0 and 1: what all must decide alike. Collective, and free for a single
    rank.
    """
    up = torch.tensor([int(flag) for flag in flags])
    if dist.get_world_size() > 1:
        up = up.to(current_device(), non_blocking=True)
        dist.all_reduce(up, dist.ReduceOp.MAX)
    return Late(up)


def sum_over_ranks(values: torch.Tensor) -> torch.Tensor:
    """Sum what each copy of the model measured on its last pipeline stage; the same result on every rank."""
    if not parallel_state.is_pipeline_last_stage():
        values = torch.zeros_like(values)
    dist.all_reduce(values, group=parallel_state.get_data_parallel_group(with_context_parallel=True))
    dist.all_reduce(values, group=parallel_state.get_pipeline_model_parallel_group())
    return values
