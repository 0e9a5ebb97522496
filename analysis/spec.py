"""What the YAML of `kind: analysis` may say. Imports nothing heavy: `validate` and `plan` come through here."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from analysis.evaluations import EVALUATIONS
from analysis.evaluations.options import CapabilitySpec, CrossEntropySpec, ProbesSpec, RedTeamSpec, ToxicitySpec
from infra.config.identity import NotIdentity, OnlyIfSet
from infra.config.spec import FileName, Location, Seed, Spec
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


class AnalysisSpec(Spec):
    """Measure one model under one steering method at one strength. Each evaluation has a key of its own."""

    name: Annotated[FileName, NotIdentity]
    """Name of the artifact: runs/NAME."""
    model: Annotated[Location, NotIdentity]
    """Pretrain artifact, Hugging Face folder, or `hf:org/model` on the hub."""
    steering: Annotated[Location | None, NotIdentity] = None
    """Posttrain artifact; null measures the plain model."""
    strength: float = 0.0
    """Strength of the steering, in the method's own unit."""
    transfer: Annotated[bool, OnlyIfSet] = False
    """Use a steering that was fitted on another model, which is refused otherwise."""
    mixture: Annotated[Location | None, NotIdentity] = None
    """Mixture artifact whose held-out documents are read."""
    labelled: Annotated[LabelledSpec | None, OnlyIfSet] = None
    """Labelled text for the probes."""
    arm: ArmSpec = ArmSpec()
    """Labels for the results table."""
    seed: Seed = 0
    """The model's training seed, a label too."""
    device: Annotated[Device, NotIdentity] = "auto"
    """Where the model runs; no part of the fingerprint. auto: a GPU where there is one, in bfloat16."""
    capability: Annotated[CapabilitySpec | None, NotIdentity] = None
    """Questions with known answers, through lm-evaluation-harness."""
    cross_entropy: Annotated[CrossEntropySpec | None, NotIdentity] = None
    """Cross-entropy on documents that the mixture holds out."""
    probes: Annotated[ProbesSpec | None, NotIdentity] = None
    """Linear probes of every head, on the texts of `labelled:`."""
    red_team: Annotated[RedTeamSpec | None, NotIdentity] = None
    """Suffixes sought by gradients that make the model begin with a target."""
    toxicity: Annotated[ToxicitySpec | None, NotIdentity] = None
    """Toxicity of what the model writes."""

    def evaluations(self) -> dict[str, Spec]:
        """Evaluation name -> its options, for those that are asked for."""
        options: dict[str, Spec | None] = {name: getattr(self, name) for name in EVALUATIONS.names()}
        return {name: section for name, section in options.items() if section is not None}

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
        if not self.evaluations():
            raise ValueError(f"nothing to measure: give at least one of {', '.join(EVALUATIONS.names())}")
        if self.steering is None and self.strength != 0:
            raise ValueError("a strength without `steering:` does nothing; take it out or give the steering")
        if self.steering is None and self.transfer:
            raise ValueError("`transfer:` without `steering:` does nothing; take it out or give the steering")
        return self
