"""Everything a report is made from, as frozen records: what a study (or a single analysis) hands to
`analysis.report.page`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from analysis.published import Published
from analysis.statistics.frontier import Allowance, CountedFrom

if TYPE_CHECKING:
    import polars as pl

Json = Any
"""A JSON value as `json.load` returns it."""


@dataclass(frozen=True)
class ShownHeldOut:
    """How well an arm predicts one held-out component, in nats per token."""

    cross_entropy: float
    unigram_cross_entropy: float | None = None
    """Under the token frequencies of the training data: what a model without context could reach."""
    tokens: int | None = None
    """Targets that the mean is over."""


@dataclass(frozen=True)
class ShownTraining:
    """What the report shows of a training; its names are those of `pretrain.json`."""

    parameters: int
    tokens: int
    loss_tokens: int
    """Tokens that bear loss, whatever the policy makes of it."""
    tokens_per_second: float
    held_out: Mapping[str, ShownHeldOut]
    """By component."""
    seconds: float | None = None
    """Of training alone, without evaluation and saving."""
    ranks: int = 1
    device: str | None = None
    """As the training names it, such as `CPU, 1 thread(s)`."""

    @property
    def gpu_hours(self) -> float:
        """Of all ranks; 0 on a CPU."""
        on_gpu = self.device is not None and not self.device.startswith("CPU")
        return self.ranks * (self.seconds or 0.0) / 3600 if on_gpu else 0.0


@dataclass(frozen=True)
class ComponentTokens:
    """A component as it was built: tokens and documents to train on; its names are those of `mixture.json`."""

    name: str
    corpus: str
    documents: int
    tokens: int
    risky_tokens: int
    """Tokens whose risk is 0.5 or more."""


@dataclass(frozen=True)
class Composition:
    """What a mixture consists of."""

    components: tuple[ComponentTokens, ...]


@dataclass(frozen=True)
class ArmRecord:
    """One trained model of the study: a mixture (its dose), a loss policy and a seed."""

    name: str
    dose: float
    """Risky tokens as a fraction of all training tokens, in [0, 1)."""
    policy: str
    seed: int
    mixture: str
    """Name of the step that built its mixture."""
    composition: Composition
    training: ShownTraining


@dataclass(frozen=True)
class StepRecord:
    """One step of the study with the configuration and fingerprint that made it."""

    name: str
    kind: str
    fingerprint: str
    config: Mapping[str, Json]
    seconds: float | None = None
    """From its start to its end, as its artifact has it; steps may have run beside each other."""
    counts: Mapping[str, Json] = field(default_factory=dict)
    """What its artifact counted, such as the prompts that were cut."""


@dataclass(frozen=True)
class FoundCost:
    """What a strength costs on the documents on which it was found, in nats per token, with a 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class StrengthRecord:
    """A strength that was found for a budget on one model."""

    arm: str
    seed: int
    method: str
    budget: float
    strength: float
    cost: FoundCost
    reached: bool


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
    """Cross-entropy that a recipe of the answer may cost, in nats per token."""
    ce_budget_of: CountedFrom = "own"
    """Whose unsteered cross-entropy it is counted from."""
    strengths: tuple[StrengthRecord, ...] = ()
    """What was found for budgets."""
    published: tuple[Published, ...] = ()
    """What papers report."""
    notes: tuple[str, ...] = ()
    synthetic: bool = False
    """True where any corpus of the study is synthetic: the report then says so beside every figure."""
    seed: int = 0
    """Seed of the bootstrap and of the split of the prompts."""
    resamples: int = 2000
    """Bootstrap resamples behind every interval."""

    @property
    def allowance(self) -> Allowance:
        """What a recipe of the answer may cost."""
        return Allowance(self.ce_budget, self.ce_budget_of)
