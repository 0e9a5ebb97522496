"""The best mixture with an interval: a Bayesian bootstrap over runs, each replicate refitted and solved anew.

Each replicate weights the runs by Dirichlet(1, …, 1) (Rubin 1981) rather than by drawing them with replacement: no run
drops out, so that few runs still tell the slopes of all components.
The minimum of an estimated function lies below the true one on average, and a replicate's minimum below the estimate's
in the same way. The interval of the value therefore mirrors the replicates about the estimate (the basic bootstrap),
which takes that bias off, where percentiles would double it. Residuals of a fit with p parameters are shorter than the
noise, so distances are stretched by n / (n - p), p = components + 1: HC3 (MacKinnon & White 1985) at the mean leverage.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mixtures.swarm.fitting.fitted import columns_of, fit_chosen
from mixtures.swarm.record import EstimateInterval
from mixtures.swarm.responses.log_linear import LogLinear
from mixtures.swarm.solving.capped import Array
from mixtures.swarm.solving.convex import Exponentials, solve_exponentials
from mixtures.swarm.solving.objective import Objective, Term
from mixtures.swarm.solving.search import candidates_for, search

TOGETHER = 100
"""Replicates that are in memory at once: a hundred forests of a dozen targets are some 200 MB."""


@dataclass(frozen=True)
class Proxies:
    """Runs and what is asked of them: `signed` [n, t] are values that are minimised, `chosen` their response models."""

    mixtures: Array
    signed: Array
    chosen: Sequence[str]
    weights: Array
    natural: Array
    floor: Array
    cap: Array
    penalty: float

    def objective(self, counts: Array, seed: int, workers: int) -> Objective:
        """The objective of every weighting of the runs; targets of weight 0 are left out."""
        used = np.flatnonzero(self.weights > 0).tolist()
        chosen = [self.chosen[index] for index in used]
        models = fit_chosen(self.mixtures, self.signed[:, used], chosen, counts, seed, workers)
        shares = self.weights[used] / self.weights.sum()
        terms = tuple(Term(models[name], shares[list(columns)]) for name, columns in columns_of(chosen).items())
        return Objective(terms, self.natural, self.floor, self.cap, self.penalty)


@dataclass(frozen=True)
class Optimum:
    """The best mixture [m] with the range of its shares, and the objective there, at the natural mixture, between."""

    mixture: Array
    low: Array
    high: Array
    value: EstimateInterval
    natural: EstimateInterval
    gain: EstimateInterval
    """How much lower the objective is at the optimum than at the natural mixture."""
    exact: bool
    """Whether it was solved exactly (log-linear targets only) or searched for."""


def find_optimum(problem: Proxies, replicates: int, level: float, seed: int, workers: int = 1) -> Optimum:
    """Solve for the best mixture and bootstrap it over runs."""
    runs, components = problem.mixtures.shape
    once = problem.objective(np.ones((1, runs)), seed, workers)
    candidates = None if once.convex else candidates_for(once, seed)
    mixture, value = solve(once, candidates)
    counts = np.random.default_rng([seed, 0xB0]).dirichlet(np.ones(runs), replicates) * runs
    batches = np.array_split(counts, -(-len(counts) // TOGETHER))
    optima = [_resolved(problem, batch, candidates, seed, workers) for batch in batches]
    mixtures, values, drawn_natural = (np.concatenate(arrays) for arrays in zip(*optima, strict=True))
    at_natural = once.values(problem.natural[None])[0, 0]
    tails, stretch = [(1 - level) / 2, (1 + level) / 2], runs / (runs - components - 1)
    low, high = np.quantile(mixtures, tails, axis=0)
    return Optimum(
        mixture[0],
        np.minimum(low, mixture[0]),
        np.maximum(high, mixture[0]),
        _mirrored(value[0], values, tails, stretch),
        _mirrored(at_natural, drawn_natural, tails, stretch),
        _mirrored(at_natural - value[0], drawn_natural - values, tails, stretch),
        once.convex,
    )


def _resolved(
    problem: Proxies, counts: Array, candidates: Array | None, seed: int, workers: int
) -> tuple[Array, Array, Array]:
    """Best mixtures [r, m] of these replicates, the objective there and at the natural mixture [r]."""
    drawn = problem.objective(counts, seed, workers)
    return (*solve(drawn, candidates), drawn.values(problem.natural[None])[:, 0])


def solve(objective: Objective, candidates: Array | None) -> tuple[Array, Array]:
    """The best mixture [r, m] of every replicate, and its value [r] without the penalty."""
    if candidates is not None:
        return search(objective, candidates)
    models = [(term.response, term.weights) for term in objective.terms]
    laws = [(model, weights) for model, weights in models if isinstance(model, LogLinear)]
    assert len(laws) == len(models), "a convex response model that the exact solver does not know"
    offsets = np.concatenate([law.offsets for law, _ in laws], axis=1)  # [r, t]
    slopes = np.concatenate([law.slopes for law, _ in laws], axis=1)  # [r, t, m]
    amplitudes = np.concatenate([weights for _, weights in laws])
    limits = (objective.natural, objective.floor, objective.cap)
    problem = Exponentials(slopes, amplitudes, *limits, objective.penalty)
    best = solve_exponentials(problem)
    return best, offsets @ amplitudes + problem.terms(best).sum(1)


def _mirrored(estimate: float, replicates: Array, tails: list[float], stretch: float) -> EstimateInterval:
    low, high = (stretch * (end - estimate) for end in np.quantile(replicates, tails))
    # Where the bias is larger than the spread, all replicates lie on one side: the estimate is then an end.
    return EstimateInterval(float(estimate), float(estimate - max(high, 0.0)), float(estimate - min(low, 0.0)))
