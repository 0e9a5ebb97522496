"""What papers report, as a study's file declares it: figures that the report shows beside ours, and effects that it
looks for in ours. Light to import.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from infra.config.spec import Spec

Mark = Literal["P", "A", "C", "R", "M", "U"]
"""Where a figure comes from: P printed in the paper, A its abstract, C its released code, R a replication, M measured
by us from its data, U unverified.
"""

FigureName = Literal["toxicity", "toxic_share", "expected_maximum", "cross_entropy", "probe_accuracy", "auroc"]


class OursSpec(Spec):
    """A figure of this study: an arm under a recipe, all seeds together."""

    dose: float = Field(0.0, ge=0, lt=1)
    """Risky tokens as a fraction of all training tokens."""
    matched: bool = False
    """Instead of the dosed arm the compute-matched clean one."""
    policy: str = "keep"
    """Policy or treatment of risky spans; a dose of 0 has one only, whatever is said here."""
    method: str = "none"
    """Row of `methods`."""
    budget: float | None = None
    """Budget of the row; needed where it has several settings."""
    strength: float | None = None
    """Strength of the row, where it has strengths instead."""
    step: int | None = None
    """Checkpoint; the end of training unless given."""
    instance: str | None = None
    """Further instance of the evaluation; its main subject unless given."""
    group: str | None = None
    """Group of prompts, such as the people they speak of; all prompts unless given."""


def _one_or_more(value: object) -> object:
    return value if isinstance(value, (list, tuple)) else [value]


SumOfOurs = Annotated[
    tuple[OursSpec, ...], BeforeValidator(_one_or_more, json_schema_input_type=OursSpec | tuple[OursSpec, ...])
]


class EffectSpec(Spec):
    """An effect that a paper reports, as a difference of figures of this study."""

    claim: str
    """The effect in words."""
    where: str
    """Table, figure or section of the paper."""
    mark: Mark
    """Provenance of the paper's figures."""
    figure: FigureName = "toxicity"
    """Which of our figures."""
    of: SumOfOurs
    """What is compared; of several the sum, so that effects can be compared with each other."""
    minus: SumOfOurs
    """What it is compared with."""
    expected: Literal["below", "above"]
    """Side of zero on which the paper's difference lies."""

    @model_validator(mode="after")
    def _is_a_difference(self) -> EffectSpec:
        if len(self.of) != len(self.minus):
            raise ValueError("`of` and `minus` are as many, or their difference would be no effect")
        return self


class RowSpec(Spec):
    """A row of a paper's table."""

    what: str
    """What the row is of, in the paper's words."""
    values: tuple[float | None, ...]
    """Figures in the order of the columns, as they are printed."""
    ours: OursSpec | None = None
    """What of this study comes nearest to it."""


class TableSpec(Spec):
    """A table of a paper."""

    where: str
    """Its number or section, and what it shows."""
    mark: Mark
    """Provenance."""
    columns: tuple[str, ...]
    """The paper's figures."""
    rows: tuple[RowSpec, ...]
    """Its rows."""
    ours: tuple[FigureName, ...] = ()
    """Our figures that stand beside, in columns of their own."""

    @model_validator(mode="after")
    def _every_row_is_whole(self) -> TableSpec:
        for row in self.rows:
            if len(row.values) != len(self.columns):
                raise ValueError(f"row {row.what!r} has {len(row.values)} values for {len(self.columns)} columns")
        return self


class Published(Spec):
    """What one paper reports."""

    paper: str
    """The paper, as it is cited."""
    tables: tuple[TableSpec, ...] = ()
    """Its figures."""
    effects: tuple[EffectSpec, ...] = ()
    """What it found."""

    def compared(self) -> tuple[OursSpec, ...]:
        """The figures of the study that its effects are differences of."""
        return tuple(ours for effect in self.effects for ours in (*effect.of, *effect.minus))

    def beside(self) -> tuple[OursSpec, ...]:
        """The figures of the study that stand beside the paper's."""
        return tuple(row.ours for table in self.tables for row in table.rows if row.ours is not None)
