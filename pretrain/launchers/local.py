"""The launcher `local`: the process of the command trains, or all of them where torchrun has started the command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pretrain.launchers.base import Launcher
from pretrain.launchers.options import LocalSpec

if TYPE_CHECKING:
    from infra.stage import Workspace
    from pretrain.spec import PretrainSpec


class Local(Launcher):
    """Trains in this process."""

    options = LocalSpec

    def train(self, spec: PretrainSpec, workspace: Workspace) -> dict[str, Any]:
        """Train here."""
        from pretrain.stage import train_here

        return train_here(spec, workspace)
