"""The `method:` section of `kind: posttrain`: the arguments of every steering method, told apart by `name`, or a name
alone. Light to import.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import BeforeValidator, Field, field_validator

from infra.config.identity import OnlyIfSet
from infra.config.spec import Spec


class MethodArgs(Spec):
    """The arguments of a method."""

    name: str
    needs_labels: ClassVar[bool] = True
    """Whether it is fitted on labelled text."""
    strengths: ClassVar[tuple[float, ...]] = (1.0,)
    """Strengths that a study measures when it names none."""

    @property
    def label_attributes(self) -> tuple[str, ...]:
        """Attributes by which it wants texts labelled, one set of texts for each; none: the section's own."""
        return ()


class MeanArgs(MethodArgs):
    """Methods whose direction is a difference of class means."""

    mean: Annotated[Literal["mean", "median_of_means"], OnlyIfSet] = "mean"
    """How a class's mean is estimated; median_of_means: coordinate by coordinate the median of the means of blocks,
    which a few texts far out do not move (Lugosi & Mendelson 2019, arXiv 1906.04280).
    """
    mean_blocks: Annotated[int, OnlyIfSet] = Field(default=24, ge=2)
    """Blocks of median_of_means. 24 is 8 log(1/0.05), the number of that survey's Theorem 2 for an error probability of
    0.05.
    """


class ItiArgs(MeanArgs):
    """Inference-time intervention; its strength is alpha."""

    strengths: ClassVar[tuple[float, ...]] = (4.0, 8.0, 12.0)
    name: Literal["iti"] = "iti"
    top_heads: int | None = Field(default=None, ge=1)
    """Heads to edit, best probe first. Default: 30 (Li et al. 2025, arXiv 2505.04741), but half of the heads of a model
    with under 60.
    """
    direction: Literal["mass_mean", "probe", "lda", "random"] = "mass_mean"
    """mass_mean: benign mean minus toxic mean; probe: the logistic probe's coefficients; lda: linear discriminant
    analysis, the difference of means through the inverted within-class covariance; random: a control of the same norm.
    """
    positions: Literal["last", "all"] = "last"
    """Edit the last token of every forward while generating, or every token (which a bias can do for free)."""
    folds: int = Field(default=5, ge=2)
    """Cross-validation folds behind the ranking of heads; 5 holds out a share of 0.2, as the released code does."""


class CaaArgs(MeanArgs):
    """Contrastive activation addition; its strength is alpha."""

    strengths: ClassVar[tuple[float, ...]] = (1.0, 2.0, 4.0)
    name: Literal["caa"] = "caa"
    layers: tuple[Annotated[int, Field(ge=0)], ...] | None = Field(default=None, min_length=1)
    """Layers (from 0) after which the residual stream is moved. Default: the one whose probe validates best."""
    direction: Literal["mass_mean", "random"] = "mass_mean"
    """mass_mean: benign mean minus toxic mean; random: a control of the same norm."""
    positions: Literal["last", "all"] = "last"
    """Edit the last token of every forward while generating, or every token."""
    folds: int = Field(default=5, ge=2)
    """Cross-validation folds behind the choice of the layer."""


class NoneArgs(MethodArgs):
    """No steering."""

    needs_labels: ClassVar[bool] = False
    name: Literal["none"] = "none"


DETOX_PROMPT = (
    "The following text was written with respect for every person and contains no insults, threats, slurs or "
    "prejudice. Its tone is ethical and inclusive, and it avoids stereotypes and false claims.\n\n"
)


class PromptArgs(MethodArgs):
    """A text before every text."""

    needs_labels: ClassVar[bool] = False
    name: Literal["prompt"] = "prompt"
    text: str = DETOX_PROMPT
    """What stands before each prompt, and before each document whose cross-entropy is measured. Default: ours."""


class SasaArgs(MethodArgs):
    """Self-disciplined autoregressive sampling; its strength is beta."""

    strengths: ClassVar[tuple[float, ...]] = (10.0, 100.0, 300.0)
    name: Literal["sasa"] = "sasa"
    max_candidates: int = Field(default=20, ge=1)
    """Most probable tokens whose margin is looked at in a step; cost grows with it. The paper has no default; ours."""
    candidate_mass: float = Field(default=1.0, gt=0, le=1)
    """Probability at which no further candidates are looked at: 0.95 leaves out those behind the likeliest that hold
    0.95 together, `max_candidates` bounds them as well. Results say what share of all that could be drawn they held.
    """
    margins: Literal["scaled", "released"] = "scaled"
    """scaled: margins in standard deviations of the labelled texts' own; released: in the units of the hidden states,
    as in the authors' code.
    """
    attributes: dict[str, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)
    """Weights by attribute, {toxicity: 1.0, insult: 0.5}: each has a boundary of its own, fitted on texts labelled by
    it (in a file by the key of that name). Default: the attribute of `labelled:` alone.
    """
    cross_entropy_positions: int = Field(default=32, ge=1)
    """Positions of a document (or window of it) where steering's effect on cross-entropy is measured. Ours."""
    folds: int = Field(default=5, ge=2)
    """Cross-validation folds behind the reported accuracy of the boundary and the spread of the margins."""

    @field_validator("attributes")
    @classmethod
    def _by_name(cls, value: dict[str, float]) -> dict[str, float]:
        return dict(sorted(value.items()))  # the order of the fitted tensors, whatever order a file has them in

    @property
    def label_attributes(self) -> tuple[str, ...]:
        """Those of `attributes`."""
        return tuple(self.attributes)


def _by_name(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


_Section: TypeAlias = Annotated[CaaArgs | ItiArgs | NoneArgs | PromptArgs | SasaArgs, Field(discriminator="name")]
AnyMethod: TypeAlias = Annotated[_Section, BeforeValidator(_by_name, json_schema_input_type=str | _Section)]
