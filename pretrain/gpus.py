"""GPUs that plans reckon with and the log's MFU is measured against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

GpuName = Literal["H200", "H100", "A100", "L40S", "L4"]


@dataclass(frozen=True)
class Gpu:
    """Published peak of dense bf16 products in FLOP/s, and the memory in bytes that the driver shows."""

    flops: float
    memory: int


_MIB = 1 << 20

GPUS: dict[GpuName, Gpu] = {
    "H200": Gpu(989e12, 143_771 * _MIB),
    "H100": Gpu(989e12, 81_559 * _MIB),
    "A100": Gpu(312e12, 81_920 * _MIB),
    "L40S": Gpu(362e12, 46_068 * _MIB),
    "L4": Gpu(121e12, 23_034 * _MIB),
}
assert set(GPUS) == set(get_args(GpuName))


def gpu_called(device: str) -> Gpu | None:
    """The GPU that a device's own name ("NVIDIA H100 80GB HBM3") speaks of; None for one that is not in the table."""
    return next((gpu for name, gpu in GPUS.items() if name in device), None)
