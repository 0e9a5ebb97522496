"""Which GPU of this machine each worker process of a study computes on: its own, in turn."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence

from infra.config.spec import Spec
from infra.doctor import gpu_names

VISIBLE = "CUDA_VISIBLE_DEVICES"
ON_ONE_GPU = ("pretrain", "checkpoint", "posttrain", "tune", "analysis")
"""Kinds of steps that a process does on one GPU; a curation shares all of them among processes of its own."""


@functools.cache
def visible_gpus() -> tuple[str, ...]:
    """The GPUs that this command may use, as CUDA_VISIBLE_DEVICES names them; asks the driver, not torch, which would
    take memory on the first of them.
    """
    if (named := os.environ.get(VISIBLE)) is not None:
        return tuple(name.strip() for name in named.split(",") if name.strip())
    return tuple(str(number) for number, _ in enumerate(gpu_names()))


def devices_for(kind: str, spec: Spec, worker: int, gpus: Sequence[str]) -> dict[str, str]:
    """Environment in which a worker process does a step: one GPU, in turn. Nothing where there is none, and where the
    step starts processes of its own, which share all of them.
    """
    launcher = getattr(spec, "launcher", None)
    starts_others = launcher is not None and launcher.name != "local"
    if not gpus or kind not in ON_ONE_GPU or starts_others:
        return {}
    return {VISIBLE: gpus[worker % len(gpus)]}
