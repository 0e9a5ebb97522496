"""What the YAML of `kind: tune` may say. Imports nothing heavy: `validate` and `plan` come through here."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import Field

from infra.config.identity import NotIdentity
from infra.config.spec import FileName, Location, Spec
from posttrain.spec import Device
from posttrain.tuning.options import AnyTuning, HeldOutSpec, Positive
from pretrain.launchers.options import LocalSpec, StepLauncher

S = TypeVar("S", bound=Spec)


class TuneSpec(Spec):
    """Change the weights of one model by one method. The artifact is a model like any other."""

    name: Annotated[FileName, NotIdentity]
    """Name of the artifact: runs/NAME."""
    model: Annotated[Location, NotIdentity]
    """Pretrain or tune artifact, Hugging Face folder, or `hf:org/model` on the hub."""
    method: AnyTuning
    """Method with its data and settings."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Draws the data, its order, the continuations and the start of low-rank factors."""
    device: Annotated[Device, NotIdentity] = "auto"
    """Where the model is trained; no part of the fingerprint. auto: a GPU where there is one, in bfloat16 with float32
    weights; a CPU in float32.
    """
    launcher: Annotated[StepLauncher, NotIdentity] = LocalSpec()
    """What does it: local, slurm or ray, as a name or with options; a process with a GPU."""
    log_every: Annotated[Positive, NotIdentity] = 10
    """Steps between lines of tune.jsonl."""
    checkpoint_every: Annotated[Positive, NotIdentity] = 200
    """Steps between checkpoints, rounded up to a multiple of `log_every`; a killed run repeats at most so many."""


def on_mixture(section: S, mixture: str) -> S:
    """The same settings, with every held-out text that they name out of `mixture`: what a study does for each arm."""
    if isinstance(section, HeldOutSpec):
        return section.model_copy(update={"mixture": mixture})
    values: dict[str, Any] = {name: getattr(section, name) for name in type(section).model_fields}
    changed = {name: on_mixture(value, mixture) for name, value in values.items() if isinstance(value, Spec)}
    return section.model_copy(update=changed)
