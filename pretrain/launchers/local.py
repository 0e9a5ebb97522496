"""The launcher `local`: the process of the command does the work, or all of them where torchrun has started it."""

from __future__ import annotations

from typing import Any

from infra.artifacts.records import JsonObject
from infra.stages.stage import Workspace
from pretrain.launchers.base import LaunchedWork, Launcher
from pretrain.launchers.options import LocalSpec


class Local(Launcher):
    """Works in this process."""

    options = LocalSpec

    def run(self, work: LaunchedWork, spec: Any, workspace: Workspace) -> JsonObject:
        """Work here."""
        return work.here(spec, workspace)
