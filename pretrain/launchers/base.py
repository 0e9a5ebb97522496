"""What a launcher is: it has a run trained, here or elsewhere, and comes back when that is done."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from infra.artifacts.records import JsonObject
from infra.stages.stage import Workspace
from pretrain.launchers.options import LauncherSpec

if TYPE_CHECKING:
    from pretrain.spec import PretrainSpec


class Launcher(ABC):
    """Trains in a work folder. Whatever it does, the run's result is the same."""

    options: ClassVar[type[LauncherSpec]]

    def __init__(self, spec: Any) -> None:
        self.spec = spec

    @abstractmethod
    def train(self, spec: PretrainSpec, workspace: Workspace) -> JsonObject:
        """Train, and return the counts of the artifact. Goes on with what an earlier try has left."""
