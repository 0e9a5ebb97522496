"""Where training runs: device, collective backend, and the shim that lets Megatron-core's trainer use a CPU."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import torch
from torch.utils._device import _device_constructors

from pretrain.gpus import gpu_called

_FACTORIES = ("arange", "empty", "full", "ones", "rand", "randn", "tensor", "zeros")


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


def _is_cuda(device: object) -> bool:
    if isinstance(device, torch.device):
        return device.type == "cuda"
    return isinstance(device, str) and device.startswith("cuda")


def _on_cpu(factory: Callable[..., Any]) -> Callable[..., Any]:
    """The factory, with `device="cuda"` turned into the CPU, which has no use for pinned memory either."""

    def create(*args: Any, **kwargs: Any) -> Any:
        kwargs.pop("pin_memory", None)
        if _is_cuda(kwargs.get("device")):
            kwargs["device"] = torch.device("cpu")
        return factory(*args, **kwargs)

    return create


def _patches() -> Iterator[tuple[object, str, object]]:
    import megatron.core.tensor_parallel.random as megatron_random

    plain_type = torch.Tensor.type

    def cuda_type(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        found = plain_type(tensor, *args, **kwargs)
        return found if args or kwargs else found.replace("torch.", "torch.cuda.", 1)

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


@contextlib.contextmanager
def cpu_as_cuda() -> Iterator[None]:
    """Let Megatron-core's training code, which names CUDA, run on a CPU; does nothing where CUDA is available.

    Only the few functions that Megatron calls with a CUDA device are replaced, and only while the context lasts. A
    TorchFunctionMode would catch the same calls but sits under every tensor operation (8–10 % of a step at 5 M
    parameters).
    """
    if torch.cuda.is_available():
        yield
        return
    _device_constructors()  # PyTorch remembers them at the first use of a device context, and must not remember ours
    with contextlib.ExitStack() as stack:
        for target, name, replacement in _patches():
            stack.enter_context(mock.patch.object(target, name, replacement))
        yield


@contextlib.contextmanager
def repeatable(wanted: bool) -> Iterator[None]:
    """Let PyTorch take deterministic algorithms only, while the context lasts."""
    before = torch.are_deterministic_algorithms_enabled()
    if wanted:
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
