"""The launcher `local`: the process of the command trains, or all of them where torchrun has started the command."""

from __future__ import annotations

from infra.artifacts.records import JsonObject
from infra.stages.stage import Workspace
from pretrain.launchers.base import Launcher
from pretrain.launchers.options import LocalSpec
from pretrain.spec import PretrainSpec
from pretrain.training.here import train_here


class Local(Launcher):
    """Trains in this process."""

    options = LocalSpec

    def train(self, spec: PretrainSpec, workspace: Workspace) -> JsonObject:
        """Train here."""
        return train_here(spec, workspace)
