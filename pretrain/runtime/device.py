"""Where training runs: device, collective backend, deterministic algorithms, memory."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator

import torch

from pretrain.gpus import gpu_called


def current_device() -> torch.device:
    """The device of this process: its CUDA device, else the CPU."""
    return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")


def backend() -> str:
    """The collective backend that fits the device."""
    return "nccl" if torch.cuda.is_available() else "gloo"


def peak_flops() -> float | None:
    """Peak dense bf16 FLOP/s of this process's device, None where it is not known."""
    if not torch.cuda.is_available():
        return None
    gpu = gpu_called(torch.cuda.get_device_name())
    return None if gpu is None else gpu.flops


def device_name() -> str:
    """What the log and `pretrain.json` call the device."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} thread(s)"


@contextlib.contextmanager
def repeatable(deterministic: bool) -> Iterator[None]:
    """Let PyTorch take deterministic algorithms only, while the context lasts."""
    before = torch.are_deterministic_algorithms_enabled()
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS wants it so, before its first use
        os.environ["NVTE_ALLOW_NONDETERMINISTIC_ALGO"] = "0"  # and Transformer Engine's attention so
        torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


def has_fast_bf16() -> bool:
    """Whether bf16 matrix products are native here; a CPU without AMX or AVX512-BF16 emulates them, very slowly."""
    if torch.cuda.is_available():
        return True
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def keep_freed_memory() -> None:
    """Let glibc keep freed activation memory instead of handing it back to the kernel.

    Every step frees and takes the same large blocks; mapping them anew costs page faults, about 15 % of a small
    model's step. Does nothing elsewhere (musl, macOS).
    """
    mmap_threshold, trim_threshold = -3, -1  # M_MMAP_THRESHOLD, M_TRIM_THRESHOLD of malloc.h
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None and not torch.cuda.is_available():
        mallopt(mmap_threshold, 1 << 30)
        mallopt(trim_threshold, (1 << 31) - 1)
