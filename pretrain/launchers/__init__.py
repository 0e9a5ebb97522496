"""Launchers, one a file: what starts the processes of a training. A new one has its options in `options.py` and its
class in the table here. `pretrain.stage` imports the table, specifications the options.
"""

from __future__ import annotations

from infra.config.registry import Registry
from pretrain.launchers.base import Launcher
from pretrain.launchers.options import LauncherSpec

LAUNCHERS: Registry[Launcher] = Registry(
    "launcher",
    {
        "local": "pretrain.launchers.local:Local",
        "ray": "pretrain.launchers.ray:Ray",
        "slurm": "pretrain.launchers.slurm:Slurm",
        "torchrun": "pretrain.launchers.torchrun:Torchrun",
    },
)


def launcher_of(spec: LauncherSpec) -> Launcher:
    """The launcher that a section names."""
    return LAUNCHERS.get(spec.name)(spec)


__all__ = ["LAUNCHERS", "Launcher", "LauncherSpec", "launcher_of"]
