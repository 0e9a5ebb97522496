"""Environment variables that training processes get from a launcher that starts them."""

from __future__ import annotations

from collections.abc import Mapping

COMMON = {
    "CUDA_DEVICE_MAX_CONNECTIONS": "1",  # Megatron overlaps tensor-parallel communication by the order of launches
    "NCCL_DEBUG": "WARN",
    "TORCH_NCCL_ASYNC_ERROR_HANDLING": "1",  # a rank that waits for a dead one ends instead of waiting for ever
    "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True",
}

INHERITED = ("NCCL_", "TORCH_", "GLOO_", "PYTORCH_", "CUDA_DEVICE_")
"""What begins so is passed on from the command's own environment, as sbatch does with all of it."""


def environment(cpus: int, *more: Mapping[str, str]) -> dict[str, str]:
    """Variables of a process with `cpus` cores; later ones of `more` win over earlier ones, and all over ours."""
    variables = {**COMMON, "OMP_NUM_THREADS": str(cpus)}
    for settings in more:
        variables |= settings
    return variables
