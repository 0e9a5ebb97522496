"""How many rows fit into memory, and what to do when they do not."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import torch

from posttrain.model import CausalModel

T = TypeVar("T")
_MEMINFO = Path("/proc/meminfo")
_CGROUP_LIMIT, _CGROUP_USED = (Path("/sys/fs/cgroup") / name for name in ("memory.max", "memory.current"))
_SHARE = 0.5  # of free memory; other processes may take memory meanwhile, and the figures below are rough
_COPIES = 2  # of the cache: dropping finished rows copies those that go on
_LOGITS_BYTES = 48  # of every token of the vocabulary: float32 logits, their order as int64, probabilities as float64
_NOT_ENOUGH = ("not enough memory", "can't allocate memory", "out of memory")  # a CPU has no exception of its own


def free_bytes(device: torch.device) -> int:
    """Bytes that a program may still take on this device; on a CPU a container's limit counts."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + unused
    available = _available()
    try:
        limit, used = int(_CGROUP_LIMIT.read_text()), int(_CGROUP_USED.read_text())
    except (OSError, ValueError):  # no container, or "max"
        return available
    return min(available, max(0, limit - used))


def _available() -> int:
    try:
        lines = dict(line.split(":") for line in _MEMINFO.read_text().splitlines())
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError):  # macOS tells only how much there is
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def rows_that_fit(models: Sequence[CausalModel], capacity: int) -> int:
    """Rows of `capacity` tokens, candidates of a step included, in every model that memory has room for."""
    return int(free_bytes(models[0].device) * _SHARE) // sum(_row_bytes(model, capacity) for model in models)


def _row_bytes(model: CausalModel, capacity: int) -> int:
    config, item = model.network.config, model.network.dtype.itemsize
    widest = max(4 * config.hidden_size, getattr(config, "intermediate_size", None) or 0)
    activations = (4 * widest + 8 * config.hidden_size) * item
    return capacity * (_COPIES * model.cache_bytes + activations) + _LOGITS_BYTES * config.vocab_size


def attempted(work: Callable[[], T], last: bool) -> T | None:
    """What `work` returns, or None where memory ran out; at the `last` attempt that is raised."""
    try:
        return work()
    except RuntimeError as error:
        if last or not out_of_memory(error):
            raise
    # Out here, as the error held the frames with all their tensors.
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return None


def out_of_memory(error: RuntimeError) -> bool:
    """Whether PyTorch says that memory ran out, on whichever device."""
    return isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in _NOT_ENOUGH)
