"""`swarm.json`: what a fit came to, as the records that are written and that predictions and the page read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from infra.artifacts.records import read_record
from mixtures.swarm.fitting.outliers import Outlier

RECORD = "swarm.json"


@dataclass(frozen=True)
class EstimateInterval:
    """An estimate with the ends of its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class ShareRecord:
    """One component's share: by nature, in the optimum with its interval, and its limits."""

    natural: float
    optimum: float
    low: float
    high: float
    floor: float
    cap: float


@dataclass(frozen=True, kw_only=True)
class TargetRecord:
    """What is asked of one target, the response model that was chosen for it, how well each does, and predictions."""

    name: str
    goal: Literal["minimise", "maximise"]
    weight: float
    response: str
    rmse: dict[str, float]
    """By response model: cross-validated, in the units of the results."""
    spearman: dict[str, float]
    check_spearman: float | None
    """Of the chosen model on the check runs; None: there are none."""
    at_natural: float
    at_optimum: float


@dataclass(frozen=True, kw_only=True)
class OptimumRecord:
    """The objective at the optimum, at the natural mixture and between them, and how that came about."""

    value: EstimateInterval
    natural: EstimateInterval
    gain: EstimateInterval
    level: float
    replicates: int
    exact: bool
    """Whether it was solved exactly, or searched for."""


@dataclass(frozen=True, kw_only=True)
class SwarmRecord:
    """The whole file; `doubts` came later."""

    components: tuple[str, ...]
    runs: int
    outliers: tuple[Outlier, ...]
    targets: tuple[TargetRecord, ...]
    shares: dict[str, ShareRecord]
    optimum: OptimumRecord
    doubts: tuple[str, ...] | None = None

    @classmethod
    def from_json(cls, folder: Path) -> SwarmRecord:
        """The record of a swarm's artifact. Raises ArtifactError, which names every missing key and wrong value."""
        return read_record(cls, folder / RECORD, remedy="run the swarm again")
