"""The YAML of `kind: swarm`. Light to import: `validate` and `plan` come through here."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from infra.config.faults import nearest
from infra.config.identity import InOrder, NotIdentity
from infra.config.spec import FileName, Location, Spec
from mixtures.swarm.bounds import LimitsSpec, SwarmComponentSpec, bounds_of
from mixtures.swarm.responses import RESPONSES

SUM_TOLERANCE = 0.01
"""How far natural shares, or a row of weights, may be from 1 before they are refused; within it they are made 1."""


def _known(name: str) -> str:
    names = RESPONSES.names()
    if name not in names:
        raise ValueError(f"no response model {name!r}; there are: {', '.join(names)}{nearest(name, names)}")
    return name


class SampleSpec(Spec):
    """Mixtures to train proxies on: Dirichlet draws around the natural proportions."""

    runs: int = Field(ge=1)
    """How many; the first is the natural mixture itself. Three for each component and parameter are a good number."""
    strengths: tuple[float, float] = (0.1, 5.0)
    """Lowest and highest concentration of the Dirichlet; low ones give mixtures of few components."""
    levels: int = Field(15, ge=1)
    """Log-spaced strengths between them; the runs are spread over them evenly."""
    temperature: float = Field(1.0, gt=0, le=1)
    """Exponent on the natural proportions; below 1 small components are drawn more often (RegMix takes 0.5)."""
    minimum: float = Field(2e-4, ge=0, lt=0.1)
    """A share below it becomes 0 (a proxy could not tell it from nothing), unless the component has a floor."""

    @model_validator(mode="after")
    def _ordered(self) -> SampleSpec:
        low, high = self.strengths
        if not 0 < low <= high:
            raise ValueError("strengths: two positive numbers, the lower first")
        return self


class ProxiesSpec(Spec):
    """Results of runs that were trained elsewhere: two CSV files, joined on `index`."""

    mixtures: Location
    """CSV: `index`, then one column a component with its share; rows are renormalised."""
    results: Location
    """CSV: `index`, then one column a target."""


class TargetSpec(Spec):
    """What is asked of one column of the results."""

    goal: Literal["minimise", "maximise"] = "minimise"
    """Which way is better."""
    weight: float = Field(1.0, ge=0)
    """Its factor in what is optimised, in the units of the column; 0 fits and predicts it only."""


class FitSpec(Spec):
    """How the response models are fitted."""

    responses: tuple[Annotated[str, AfterValidator(_known)], ...] = Field(("log_linear", "trees"), min_length=1)
    """Response models to choose from, target by target, by cross-validated squared error."""
    folds: int = Field(5, ge=2)
    """Folds of the cross-validation."""


class OptimumSpec(Spec):
    """How the best mixture is found."""

    penalty: float = Field(0.05, ge=0)
    """Price of leaving the natural proportions: this times KL(mixture, natural), in the units of the objective."""
    replicates: int = Field(400, ge=20)
    """Bootstrap replicates over runs behind the interval."""
    level: float = Field(0.95, gt=0.5, lt=1)
    """Nominal coverage of the intervals."""


class SwarmSpec(Spec):
    """Exactly one of `sample` (a design of proxy runs) and `proxies` (their results, to fit and solve)."""

    name: Annotated[FileName, NotIdentity]
    """Name of the run; the artifact goes to runs/NAME."""
    seed: int = Field(0, ge=0)
    """Draws the design, the folds and the bootstrap."""
    components: Annotated[dict[str, SwarmComponentSpec], InOrder] = Field(min_length=2)
    """What mixtures are made of; the names are the columns of the mixture file."""
    limits: LimitsSpec = LimitsSpec()
    """Repetition caps."""
    sample: SampleSpec | None = None
    """Design the proxies: writes `mixtures.csv`."""
    proxies: Annotated[ProxiesSpec | None, NotIdentity] = None
    """Trained proxies: response models are fitted to them and the best mixture is solved for."""
    check: Annotated[ProxiesSpec | None, NotIdentity] = None
    """Further runs that no model is fitted on; the fit is measured on them."""
    targets: Annotated[dict[str, TargetSpec] | None, InOrder] = None
    """Columns of the results by name; none means all of them, minimised, with equal weights."""
    fit: FitSpec = FitSpec()
    """Response models."""
    optimum: OptimumSpec = OptimumSpec()
    """The solver."""

    @model_validator(mode="after")
    def _consistent(self) -> SwarmSpec:
        if (self.sample is None) == (self.proxies is None):
            raise ValueError("give exactly one of `sample` (design the proxies) and `proxies` (their results)")
        if self.sample is not None and (unused := sorted(_OF_PROXIES & self.model_fields_set)):
            raise ValueError(f"{', '.join(unused)}: belong to `proxies`; a design needs none of them")
        if self.targets is not None and not any(target.weight > 0 for target in self.targets.values()):
            raise ValueError("targets: at least one needs a weight above 0, or there is nothing to optimise")
        _check_amounts(self)
        return self


_OF_PROXIES = {"check", "targets", "fit", "optimum"}


def _check_amounts(spec: SwarmSpec) -> None:
    """Natural proportions that can be told, and limits that leave a mixture. Raises ValueError."""
    counted = [component.tokens is not None for component in spec.components.values()]
    shared = [component.natural is not None for component in spec.components.values()]
    if not (all(counted) and not any(shared)) and not (all(shared) and not any(counted)):
        raise ValueError("components: give `tokens` for every one, or `natural` for every one")
    if all(shared):
        total = sum(component.natural or 0.0 for component in spec.components.values())
        if abs(total - 1) > SUM_TOLERANCE:
            raise ValueError(f"components: their natural shares sum to {total:.4g}; they must sum to 1")
    if spec.limits.training_tokens is not None and not all(counted):
        raise ValueError("limits.training_tokens: repetitions are counted from the `tokens` of every component")
    if spec.limits.training_tokens is None and "max_epochs" in spec.limits.model_fields_set:
        raise ValueError("limits.max_epochs: needs limits.training_tokens to count repetitions")
    bounds_of(spec.components, spec.limits)
