"""Everything a report is made from, as frozen records: what a study (or a single analysis) hands to
`analysis.report.page`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl

Json = Any
"""A JSON value as `json.load` returns it."""


@dataclass(frozen=True)
class HeldOut:
    """How well an arm predicts one held-out component, in nats per token."""

    cross_entropy: float
    unigram_entropy: float | None = None
    """Entropy of the component's token frequencies: what a model without context could reach at best."""


@dataclass(frozen=True)
class ArmRecord:
    """One trained model of the study: a mixture (its dose), a loss policy and a seed."""

    name: str
    dose: float
    """Risky tokens as a fraction of all training tokens, in [0, 1)."""
    policy: str
    seed: int
    mixture: Mapping[str, Json] = field(default_factory=dict)
    """The mixture's manifest (`mixture.json`); its components and realised token counts are shown."""
    pretrain: Mapping[str, Json] = field(default_factory=dict)
    """The training summary (`pretrain.json`): tokens seen, loss-bearing tokens, speed."""
    held_out: Mapping[str, HeldOut] = field(default_factory=dict)
    """Component -> held-out cross-entropy of this arm, next to the unigram entropy."""


@dataclass(frozen=True)
class StepRecord:
    """One step of the study with the configuration and fingerprint that made it."""

    name: str
    kind: str
    fingerprint: str
    config: Mapping[str, Json]


@dataclass(frozen=True)
class FailureRecord:
    """A step that failed, and the sentence that says why."""

    step: str
    kind: str
    message: str


@dataclass(frozen=True)
class ReportInput:
    """The whole content of a report. `results` holds `analysis.results.SCHEMA`, all analyses concatenated."""

    title: str
    results: pl.DataFrame
    arms: tuple[ArmRecord, ...]
    steps: tuple[StepRecord, ...] = ()
    failures: tuple[FailureRecord, ...] = ()
    ce_budget: float = 0.1
    """Cross-entropy a method may cost, in nats per token above the clean unsteered arm."""
    notes: tuple[str, ...] = ()
    synthetic: bool = False
    """True where any corpus of the study is synthetic: the report then says so beside every figure."""
    seed: int = 0
    """Seed of the bootstrap and of the split of the prompts."""
    resamples: int = 2000
    """Bootstrap resamples behind every interval."""
