"""What a launcher is: it has a run trained, here or elsewhere, and comes back when that is done."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import AfterValidator, Field, StringConstraints

from infra.spec import Spec
from pretrain.gpus import GpuName

if TYPE_CHECKING:
    from infra.stage import Workspace
    from pretrain.spec import PretrainSpec


def _one_line(value: str | int | bool) -> str | int | bool:
    if isinstance(value, str) and not value.isprintable():
        raise ValueError("must be printable text on one line")
    return value


Line = Annotated[str, AfterValidator(_one_line)]
Setting = Annotated[bool | int | str, AfterValidator(_one_line)]
Variables = dict[Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")], Line]
"""Environment of processes, for example {NCCL_SOCKET_IFNAME: ib0}."""


class LauncherSpec(Spec):
    """A launcher and its options; every launcher's file declares its own. None of them changes what is trained."""

    name: str
    gpu: GpuName = "H100"
    """GPU that `hormesis plan` reckons with."""
    mfu: Annotated[float, Field(gt=0.0, le=1.0)] = 0.5
    """Share of that GPU's bf16 peak that `hormesis plan` expects of the training (model FLOPs utilisation)."""

    @property
    def ranks(self) -> int | None:
        """Processes of a training; None where only the machine can tell."""
        return None

    @property
    def ranks_per_node(self) -> int | None:
        """Processes that share a machine and its fast links; None where only the machine can tell."""
        return self.ranks

    @property
    def elsewhere(self) -> bool:
        """Whether other machines train, so that this one only waits."""
        return False


class Launcher(ABC):
    """Trains in a work folder. Whatever it does, the run's result is the same."""

    options: ClassVar[type[LauncherSpec]]

    def __init__(self, spec: Any) -> None:
        self.spec = spec

    @abstractmethod
    def train(self, spec: PretrainSpec, workspace: Workspace) -> dict[str, Any]:
        """Train, and return the counts of the artifact. Takes up what an earlier try has left."""
