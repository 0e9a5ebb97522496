"""Which of its GPUs a process computes on."""

from __future__ import annotations

from infra.jobs.processes import worker_number


def has_gpu() -> bool:
    """Whether this process may use a GPU. Ray hides those of a node from workers that asked for none."""
    import torch

    return torch.cuda.is_available()


def torch_device(device: str) -> str:
    """torch's name for `cpu` or `cuda`: of several GPUs, each worker of this machine takes its own in turn."""
    import torch

    if device != "cuda":
        return device
    return f"cuda:{worker_number() % max(1, torch.cuda.device_count())}"


def gpu_name() -> str:
    """What kind of GPU this process computes on, with its memory."""
    import torch

    properties = torch.cuda.get_device_properties(torch_device("cuda"))
    return f"{properties.name}, {properties.total_memory >> 30} GiB"
