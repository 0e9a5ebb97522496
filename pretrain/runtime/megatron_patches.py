"""Everything of Megatron-core and PyTorch that is patched, by whom it is needed, and why; no other module patches any.

Written for `megatron-core==0.16.1` and `torch==2.13.0`, the pins of pyproject.toml: whoever raises one goes through
this module, and a test fails until `WRITTEN_FOR` says so. A patch lasts as long as the context that makes it;
afterwards all is as it was, also where the block failed.
"""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import megatron.core.tensor_parallel.random as megatron_random
import torch
from megatron.core.dist_checkpointing.strategies import filesystem_async
from megatron.core.optimizer.distrib_optimizer import DistributedOptimizer
from torch.utils._device import _device_constructors

WRITTEN_FOR = {"megatron-core": "0.16.1", "torch": "2.13.0"}

_FACTORIES = ("arange", "empty", "full", "ones", "rand", "randn", "tensor", "zeros")


@contextlib.contextmanager
def cpu_as_cuda() -> Iterator[None]:
    """Let Megatron-core's training code, which names CUDA, run on a CPU; does nothing where CUDA is available.

    So the loop that is tested on a laptop is the one that runs on a cluster. Only the few functions that Megatron calls
    with a CUDA device are replaced, and only while the context lasts. A TorchFunctionMode would catch the same calls
    but sits under every tensor operation (8–10 % of a step at 5 M parameters).
    """
    if torch.cuda.is_available():
        yield
        return
    _device_constructors()  # PyTorch remembers them at the first use of a device context, and must not remember ours
    with contextlib.ExitStack() as stack:
        for target, name, replacement in _cpu_replacements():
            stack.enter_context(mock.patch.object(target, name, replacement))
        yield


def _cpu_replacements() -> Iterator[tuple[object, str, object]]:
    """Owner, name and replacement of every function that Megatron calls with or for a CUDA device."""
    plain_type = torch.Tensor.type

    def cuda_type(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        name = plain_type(tensor, *args, **kwargs)
        return name if args or kwargs else name.replace("torch.", "torch.cuda.", 1)

    def nothing(*_args: Any, **_kwargs: Any) -> None:
        return None

    def get_state(*_args: Any, **_kwargs: Any) -> torch.Tensor:
        return torch.get_rng_state()

    def set_state(state: torch.Tensor, *_args: Any, **_kwargs: Any) -> None:
        torch.set_rng_state(state)

    for name in _FACTORIES:
        yield torch, name, _on_cpu(getattr(torch, name))
    yield torch.Tensor, "cuda", lambda tensor, *_args, **_kwargs: tensor
    yield torch.Tensor, "type", cuda_type  # clip_grads and the optimizer compare with 'torch.cuda.FloatTensor'
    yield torch.cuda, "current_device", lambda: torch.device("cpu")
    yield torch.cuda, "synchronize", nothing
    yield torch.cuda, "empty_cache", nothing
    yield torch.cuda, "manual_seed", torch.default_generator.manual_seed
    yield torch.cuda, "get_rng_state", get_state
    yield torch.cuda.random, "get_rng_state", get_state
    yield megatron_random, "_set_cuda_rng_state", set_state


def _on_cpu(factory: Callable[..., Any]) -> Callable[..., Any]:
    """The factory, with `device="cuda"` turned into the CPU, which has no use for pinned memory either."""

    def create(*args: Any, **kwargs: Any) -> Any:
        kwargs.pop("pin_memory", None)
        device = kwargs.get("device")
        if isinstance(device, torch.device | str) and torch.device(device).type == "cuda":
            kwargs["device"] = torch.device("cpu")
        return factory(*args, **kwargs)

    return create


@contextlib.contextmanager
def step_beside_moments() -> Iterator[None]:
    """Let Megatron's distributed optimizer load moments into PyTorch's AdamW, which counts steps beside them.

    Megatron looks for that count among the moments that it has stored, where it is not: a KeyError without this. What
    is handed to it here is the count that the optimizer has.
    """
    load_moments = DistributedOptimizer._set_main_param_and_optimizer_states

    def load_with_step(self: Any, weight: Any, moments: dict[str, torch.Tensor]) -> None:
        group, index = self.model_param_group_index_map[weight]
        state = self.optimizer.state[self.optimizer.param_groups[group]["params"][index]]
        load_moments(self, weight, {name: state[name] for name in ("step",) if name in state} | moments)

    with mock.patch.object(DistributedOptimizer, load_moments.__name__, load_with_step):
        yield


@contextlib.contextmanager
def checkpoint_written_in_this_process() -> Iterator[None]:
    """Let Megatron's plan of a save name `_write_buckets`, which needs no helper processes.

    Megatron spawns a multiprocessing Manager for the results, which imports the program anew (3 s, and it needs a
    `__main__` guard), and forks a writer per file, which is unsafe beside gloo's and CUDA's threads. A plain queue and
    a thread do as well.
    """
    writer = filesystem_async.FileSystemWriterAsync
    with (
        mock.patch.object(filesystem_async, "_get_write_results_queue", queue.Queue),
        mock.patch.object(writer, "write_preloaded_data_multiproc", staticmethod(_write_buckets)),
    ):
        yield


def _write_buckets(
    transforms: list[Any], _use_msc: bool, _rank: int, buckets: list[Any], results: queue.Queue[Any]
) -> None:
    """Write one bucket after another, and put what came of them into `results` as Megatron's helper processes do."""
    written: dict[int, Any] = {}
    for number, bucket in enumerate(buckets):
        outcome: queue.Queue[Any] = queue.Queue()
        counter: queue.Queue[int] = queue.Queue()
        counter.put(number)
        write = filesystem_async.FileSystemWriterAsync.write_preloaded_data
        # It asks psutil for a debug line, and raises where that is not installed.
        with mock.patch.object(filesystem_async, "_process_memory", int):
            write(transforms, number, bucket, outcome, counter, use_fsync=True)
        _, result = outcome.get()
        if isinstance(result, Exception):
            results.put(result)
            return
        written[number] = result
    results.put(written)
