"""What the YAML of `kind: analysis` may say. Imports nothing heavy: `validate` and `plan` come through here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, create_model, model_validator

from analysis.evaluations import EVALUATIONS
from infra.spec import FileName, Location, Seed, Spec
from posttrain.spec import Device, LabelledSpec


class ArmSpec(Spec):
    """How the results table names what was trained."""

    name: str = "model"
    """Name of the arm."""
    dose: float = Field(0.0, ge=0, lt=1)
    """Risky tokens as a fraction of all training tokens."""
    policy: str = "keep"
    """Loss policy of the training."""
    mixture: str = ""
    """Name of the mixture."""


class AnalysisBase(Spec):
    """Measure one model under one steering method at one strength. Each evaluation has a key of its own."""

    name: FileName
    """Name of the artifact: runs/NAME."""
    model: Location
    """Pretrain artifact, Hugging Face folder, or `hf:org/model` on the hub."""
    steering: Location | None = None
    """Posttrain artifact; null measures the plain model."""
    strength: float = 0.0
    """Strength of the steering, in the method's own unit."""
    mixture: Location | None = None
    """Mixture artifact whose held-out documents are read."""
    labelled: LabelledSpec | None = None
    """Labelled text for the probes."""
    arm: ArmSpec = ArmSpec()
    """Labels for the results table."""
    seed: Seed = 0
    """The model's training seed, a label too."""
    device: Device = "auto"
    """Where the model runs; no part of the fingerprint. auto: a GPU where there is one, in bfloat16."""

    def asked(self) -> dict[str, Any]:
        """Evaluation name -> its options, for those that are asked for."""
        found = {name: getattr(self, name) for name in EVALUATIONS.names()}
        return {name: options for name, options in found.items() if options is not None}

    def for_arm(
        self,
        *,
        model: str,
        mixture: str,
        labelled: LabelledSpec,
        arm: ArmSpec,
        seed: int,
        steering: str | None,
        strength: float,
    ) -> Self:
        """The same evaluations on another subject: what a study does for each arm, method and strength."""
        subject = {"model": model, "mixture": mixture, "labelled": labelled, "arm": arm, "seed": seed}
        return self.model_copy(update={**subject, "steering": steering, "strength": strength, "name": arm.name})

    @model_validator(mode="after")
    def _measures_something(self) -> Self:
        if not self.asked():
            raise ValueError(f"nothing to measure: give at least one of {', '.join(EVALUATIONS.names())}")
        if self.steering is None and self.strength != 0:
            raise ValueError("a strength without `steering:` does nothing; take it out or give the steering")
        return self


if TYPE_CHECKING:
    AnalysisSpec = AnalysisBase
else:
    # One key per evaluation, so that a new file in analysis/evaluations is enough.
    AnalysisSpec = create_model(
        "AnalysisSpec",
        __base__=AnalysisBase,
        __doc__=AnalysisBase.__doc__,
        **{
            name: (options | None, Field(None, description=options.__doc__))
            for name in EVALUATIONS.names()
            for options in [EVALUATIONS.get(name).options]
        },
    )
