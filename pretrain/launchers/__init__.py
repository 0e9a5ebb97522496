"""Launchers, one a file: what starts the processes of a training, or the one process of another step. A new one has its
options in `options.py` and its class in the table here. Stages import `launched`, specifications the options.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from infra.artifacts.records import JsonObject
from infra.config.registry import Registry
from infra.config.spec import Spec
from infra.stages.stage import Stage, Workspace
from pretrain.launchers.base import Check, LaunchedWork, Launcher
from pretrain.launchers.options import LauncherSpec
from pretrain.processes.work import Do

S = TypeVar("S", bound=Spec)

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


def _nothing_to_check(specs: Sequence[Any], verify: bool) -> None:
    """For stages that look at their inputs as they begin."""


def launched(stage: Stage[S], *, as_rank: Do | None = None, check: Check = _nothing_to_check) -> Stage[S]:
    """The stage, whose `launcher:` from now on says where its work is done.

    Its `run`, or `as_rank` if given, must stand at the top of a module, where the processes import it.
    """
    work = LaunchedWork(stage.kind, stage.run, as_rank or stage.run, check)

    def run(spec: Any, workspace: Workspace) -> JsonObject:
        if "WORLD_SIZE" in os.environ:  # torchrun has started this process, and many more: there is nothing to launch
            return work.here(spec, workspace)
        return launcher_of(spec.launcher).run(work, spec, workspace)

    def elsewhere(spec: Any) -> bool:
        chosen: LauncherSpec = spec.launcher
        return chosen.elsewhere

    def submit(todo: Sequence[tuple[Any, Path]], logs: Path) -> None:
        from pretrain.launchers.slurm import submit_together

        submit_together(work, todo, logs)

    return dataclasses.replace(stage, run=run, elsewhere=elsewhere, submit=submit)


__all__ = ["LAUNCHERS", "Launcher", "LauncherSpec", "launched", "launcher_of"]
