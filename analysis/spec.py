"""What the YAML of `kind: analysis` may say. Imports nothing heavy: `validate` and `plan` come through here."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from analysis.evaluations import EVALUATIONS
from analysis.evaluations.options import (
    CapabilitySpec,
    CrossEntropySpec,
    FluencySpec,
    ProbesSpec,
    RecognitionSpec,
    RedTeamSpec,
    RelearningSpec,
    TextsSpec,
    ToxicitySpec,
)
from infra.config.identity import NotIdentity, OnlyIfSet
from infra.config.spec import FileName, Location, Seed, Spec
from posttrain.recipe import RecipeEntry
from posttrain.spec import Device, LabelledSection, LabelledSpec
from pretrain.launchers.options import LauncherSpec, LocalSpec, StepLauncher

NO_DOCUMENTS = (
    "cross_entropy measures every document that there is, and the strength of a budget is found on others: give "
    "`max_documents` to cross_entropy, or `budget_documents` of another source"
)


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
    step: Annotated[int | None, OnlyIfSet] = Field(None, ge=1)
    """Optimizer step of the checkpoint; none for the end of training."""


class MeasuredEntry(RecipeEntry):
    """One fitted method of the recipe that is measured, at a strength or at the strength that costs a budget."""

    budget: float | None = Field(None, gt=0)
    """Nats per token that the whole recipe may cost above the unsteered model, in place of a strength: the strength is
    found on held-out documents that `cross_entropy` does not measure.
    """
    alias: str | None = None
    """What the results call it; the method's name unless given."""

    @model_validator(mode="after")
    def _one_setting(self) -> Self:
        if self.budget is not None and "strength" in self.model_fields_set:
            raise ValueError("either `strength` or `budget`")
        return self


class BudgetDocumentsSpec(TextsSpec):
    """Documents on which the strength of a budget is found: the first that `cross_entropy` does not measure."""

    documents: int = Field(50, ge=2)
    """How many of them."""


class AnalysisSpec(Spec):
    """Measure one model under one recipe of steering methods. Each evaluation has a key of its own."""

    name: Annotated[FileName, NotIdentity]
    """Name of the artifact: runs/NAME."""
    model: Annotated[Location, NotIdentity]
    """Pretrain or tune artifact, Hugging Face folder, or `hf:org/model` on the hub."""
    recipe: tuple[MeasuredEntry, ...] = ()
    """Fitted methods that act together, with their strengths; one of them may have a budget instead. Without any, the
    plain model is measured.
    """
    alias: str | None = None
    """What the results call the recipe; the names of its methods joined by " + " unless given."""
    budget_documents: Annotated[BudgetDocumentsSpec, NotIdentity] = BudgetDocumentsSpec()
    """Where the strength of a budget is found."""
    cost_from: Annotated[Location | None, NotIdentity] = None
    """Model whose cross-entropy a budget counts from, such as the one that `model` was tuned from. Default: `model`."""
    transfer: Annotated[bool, OnlyIfSet] = False
    """Use methods that were fitted on another model, which is refused otherwise."""
    mixture: Annotated[Location | None, NotIdentity] = None
    """Mixture artifact whose held-out documents are read; what reads none of them needs none."""
    labelled: Annotated[LabelledSection | None, OnlyIfSet] = None
    """Labelled text for the probes."""
    arm: ArmSpec = ArmSpec()
    """Labels for the results table."""
    seed: Seed = 0
    """The model's training seed, a label too."""
    device: Annotated[Device, NotIdentity] = "auto"
    """Where the model runs; no part of the fingerprint. auto: a GPU where there is one, in bfloat16."""
    launcher: Annotated[StepLauncher, NotIdentity] = LocalSpec()
    """What does it: local, slurm or ray, as a name or with options; a process with a GPU."""
    capability: Annotated[CapabilitySpec | None, NotIdentity] = None
    """Questions with known answers, through lm-evaluation-harness."""
    cross_entropy: Annotated[CrossEntropySpec | None, NotIdentity] = None
    """Cross-entropy on documents that the mixture holds out, or of a file."""
    fluency: Annotated[FluencySpec | None, NotIdentity] = None
    """How well what `toxicity` has the model write reads."""
    probes: Annotated[ProbesSpec | None, NotIdentity] = None
    """Linear probes of every head, on the texts of `labelled:`."""
    recognition: Annotated[RecognitionSpec | None, NotIdentity] = None
    """How well a linear probe of the last token's state tells toxic from benign text."""
    red_team: Annotated[RedTeamSpec | None, NotIdentity] = None
    """Suffixes sought by gradients that make the model begin with a target."""
    relearning: Annotated[RelearningSpec | None, NotIdentity] = None
    """How fast an attacked model learned to be toxic again."""
    toxicity: Annotated[ToxicitySpec | None, NotIdentity] = None
    """Toxicity of what the model writes."""

    def evaluations(self) -> dict[str, Spec]:
        """Evaluation name -> its options, for those that are asked for."""
        options: dict[str, Spec | None] = {name: getattr(self, name) for name in EVALUATIONS.names()}
        return {name: section for name, section in options.items() if section is not None}

    @property
    def free(self) -> MeasuredEntry | None:
        """The entry whose strength is that of the recipe: the one with a budget, else the first."""
        return next((entry for entry in self.recipe if entry.budget is not None), next(iter(self.recipe), None))

    @property
    def budget(self) -> float | None:
        """Nats per token for which a strength is found; None where all strengths are given."""
        return self.free.budget if self.free else None

    def for_arm(
        self,
        *,
        model: str,
        mixture: str,
        labelled: LabelledSpec,
        arm: ArmSpec,
        seed: int,
        recipe: tuple[MeasuredEntry, ...],
        alias: str,
        cost_from: str | None = None,
        launcher: LauncherSpec,
    ) -> Self:
        """The same evaluations on another subject: what a study does for each arm and recipe."""
        subject = {"model": model, "mixture": mixture, "labelled": labelled, "arm": arm, "seed": seed}
        steering = {"recipe": recipe, "alias": alias, "cost_from": cost_from}
        return self.model_copy(update={**subject, **steering, "name": arm.name, "launcher": launcher})

    @model_validator(mode="after")
    def _measures_something(self) -> Self:
        if not self.evaluations():
            raise ValueError(f"nothing to measure: give at least one of {', '.join(EVALUATIONS.names())}")
        if not self.recipe and self.transfer:
            raise ValueError("`transfer:` without `recipe:` does nothing; take it out or give the recipe")
        if self.fluency is not None and self.toxicity is None:
            raise ValueError("fluency looks at what toxicity has the model write: give `toxicity:`")
        return self

    @model_validator(mode="after")
    def _budget_can_be_met(self) -> Self:
        if sum(entry.budget is not None for entry in self.recipe) > 1:
            raise ValueError("a budget sets the strength of one method; give the others a strength")
        if self.budget is not None and self.mixture is None and self.budget_documents.texts is None:
            raise ValueError(
                "the strength of a budget is found on held-out documents: give `mixture:`, or `budget_documents.texts`"
            )
        if self.budget is not None and not self.leaves_documents:
            raise ValueError(NO_DOCUMENTS)
        return self

    @property
    def leaves_documents(self) -> bool:
        """Whether `cross_entropy` leaves documents on which a strength can be found."""
        if self.cross_entropy is None:
            return True
        source, measured = self.budget_documents.source, self.cross_entropy.measured.values()
        return all(read.max_documents is not None for read in measured if read.source == source)

    @model_validator(mode="after")
    def _documents_are_somewhere(self) -> Self:
        measured = self.cross_entropy.measured.values() if self.cross_entropy is not None else ()
        if self.mixture is None and any(read.texts is None for read in measured):
            raise ValueError("cross_entropy reads held-out documents: give `mixture:`, or `texts` for those of a file")
        return self
