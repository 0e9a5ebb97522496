"""The `method:` section of `kind: posttrain`: the arguments of every steering method, told apart by `name`, or a name
alone. Light to import.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import BeforeValidator, Field

from infra.config.spec import Spec


class MethodArgs(Spec):
    """The arguments of a method."""

    name: str
    needs_labels: ClassVar[bool] = True
    """Whether it is fitted on labelled text."""
    strengths: ClassVar[tuple[float, ...]] = (1.0,)
    """Strengths that a study measures when it names none."""


class ItiArgs(MethodArgs):
    """Inference-time intervention; its strength is alpha."""

    strengths: ClassVar[tuple[float, ...]] = (4.0, 8.0, 12.0)
    name: Literal["iti"] = "iti"
    top_heads: int | None = Field(default=None, ge=1)
    """Heads to edit, best probe first. Default: 30 (Li et al. 2025, arXiv 2505.04741), but half of the heads of a model
    with under 60.
    """
    direction: Literal["mass_mean", "probe", "random"] = "mass_mean"
    """mass_mean: benign mean minus toxic mean; probe: the probe's coefficients; random: a control of the same norm."""
    positions: Literal["last", "all"] = "last"
    """Edit the last token of every forward while generating, or every token (which a bias can do for free)."""
    folds: int = Field(default=5, ge=2)
    """Cross-validation folds behind the ranking of heads; 5 holds out a share of 0.2, as the released code does."""


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
    cross_entropy_positions: int = Field(default=32, ge=1)
    """Positions of a document (or window of it) where steering's effect on cross-entropy is measured. Ours."""
    folds: int = Field(default=5, ge=2)
    """Cross-validation folds behind the reported accuracy of the boundary."""


def _by_name(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


_Section: TypeAlias = Annotated[ItiArgs | NoneArgs | PromptArgs | SasaArgs, Field(discriminator="name")]
AnyMethod: TypeAlias = Annotated[_Section, BeforeValidator(_by_name, json_schema_input_type=str | _Section)]
