"""Response models and the best mixture out of the results of proxies: cross-validate, fit, solve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from infra.errors import InputError
from infra.render.progress import Advance
from mixtures.swarm.bounds import bounds_of
from mixtures.swarm.fitting.choose import CrossValidation, choose, cross_validate
from mixtures.swarm.fitting.fitted import FittedSwarm, columns_of, fit_chosen
from mixtures.swarm.fitting.outliers import Outlier, find_outliers
from mixtures.swarm.solving.capped import Array
from mixtures.swarm.solving.optimum import Optimum, Proxies, find_optimum
from mixtures.swarm.spec import SwarmSpec, TargetSpec
from mixtures.swarm.tables import Runs, read_runs


@dataclass(frozen=True)
class ProxyRuns:
    """The runs to fit and to check on, what is asked of each target, and the runs that were left out."""

    runs: Runs
    check: Runs | None
    asked: tuple[TargetSpec, ...]
    outliers: tuple[Outlier, ...] = ()

    @property
    def signs(self) -> Array:
        """1 for a target that is minimised, -1 for one that is maximised, [t]."""
        return signs_of(self.asked)


@dataclass(frozen=True)
class Fit:
    """What comes out: every response model's cross-validation, the fitted models, the best mixture."""

    validations: tuple[CrossValidation, ...]
    chosen: tuple[str, ...]
    swarm: FittedSwarm
    best: Optimum

    @property
    def validated(self) -> Array:
        """Cross-validated predictions of the chosen models [n, t], in the units of the results."""
        by_name = {validation.response: validation.predicted for validation in self.validations}
        columns = [by_name[name][:, column] for column, name in enumerate(self.chosen)]
        return np.stack(columns, axis=1) * self.swarm.signs


def read_inputs(spec: SwarmSpec) -> ProxyRuns:
    """Read the CSV files. Raises ConfigError with all their problems, InputError where the runs are too few."""
    assert spec.proxies is not None
    names = tuple(spec.components)
    runs = read_runs(spec.proxies, names, None if spec.targets is None else tuple(spec.targets))
    check = read_runs(spec.check, names, runs.targets) if spec.check is not None else None
    asked = tuple((spec.targets or {}).get(name, TargetSpec()) for name in runs.targets)
    needed = max(len(names) + 2, spec.fit.folds)
    if len(runs.index) < needed:
        have = f"{spec.proxies.mixtures}: {len(runs.index)} runs"
        raise InputError(f"{have}; {len(names)} components and {spec.fit.folds} folds need at least {needed}")
    outliers = find_outliers(runs, signs_of(asked), len(runs.index) - needed)
    return ProxyRuns(runs.without({outlier.run for outlier in outliers}), check, asked, outliers)


def signs_of(asked: Sequence[TargetSpec]) -> Array:
    """1 for a target that is minimised, -1 for one that is maximised, [t]."""
    return np.asarray([-1.0 if target.goal == "maximise" else 1.0 for target in asked])


def fit_swarm(spec: SwarmSpec, inputs: ProxyRuns, workers: int, advance: Advance) -> Fit:
    """Do all of it; `advance` is called once a response model and twice more."""
    runs, signed = inputs.runs, inputs.runs.results * inputs.signs
    validations = []
    for response in spec.fit.responses:
        validations.append(cross_validate(runs.mixtures, signed, response, spec.fit.folds, spec.seed, workers))
        advance(1)
    chosen = choose(validations)
    models = fit_chosen(runs.mixtures, signed, chosen, np.ones((1, len(signed))), spec.seed, workers)
    swarm = FittedSwarm(runs.components, runs.targets, inputs.signs, models, columns_of(chosen))
    advance(1)
    problem = _problem(spec, inputs, signed, chosen)
    best = find_optimum(problem, spec.optimum.replicates, spec.optimum.level, spec.seed, workers)
    advance(1)
    return Fit(tuple(validations), tuple(chosen), swarm, best)


def _problem(spec: SwarmSpec, inputs: ProxyRuns, signed: Array, chosen: Sequence[str]) -> Proxies:
    bounds = bounds_of(spec.components, spec.limits)
    return Proxies(
        mixtures=inputs.runs.mixtures,
        signed=signed,
        chosen=chosen,
        weights=np.asarray([target.weight for target in inputs.asked]),
        natural=np.asarray(bounds.natural),
        floor=np.asarray(bounds.floor),
        cap=np.asarray(bounds.cap),
        penalty=spec.optimum.penalty,
    )
