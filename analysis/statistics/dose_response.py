"""The dose-response curve of each method: toxicity at a fixed cross-entropy budget, dose by dose, under each loss
policy.

The budget counts from the clean unsteered model. In each resample the frontier is read anew, so that the interval holds
the uncertainty of cross-entropy as well. The strength is chosen on the same prompts, which flatters every point alike
and a little: the answer (`analysis.statistics.answer`) does not do so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from analysis.statistics.answer import clean_reference
from analysis.statistics.frontier import at_budget, recipe
from analysis.statistics.intervals import Array, Estimate, draw_weights, intervals
from analysis.statistics.panels import Panels, Treatment


@dataclass(frozen=True)
class Point:
    """Toxicity of an arm under a method at the budget (and, for comparison, without any steering)."""

    arm: Treatment
    method: str
    strength: float
    toxicity: Estimate
    feasible: bool
    """False where even doing nothing costs more than the budget; the toxicity is then that of the cheapest point."""
    within_budget: float
    """Share of the resamples in which the arm stays within the budget."""


@dataclass(frozen=True)
class _Draws:
    """Figures of all cells: [1, cells] as measured, [resamples, cells] resampled, [seeds, cells] seed by seed."""

    toxicity: tuple[Array, Array, Array]
    cross_entropy: tuple[Array, Array, Array]
    reference: int


def dose_response(panels: Panels, allowance: float, *, resamples: int = 2000, seed: int = 0) -> list[Point]:
    """All points by method, policy and dose; none without a clean unsteered arm to count the budget from.

    A clean arm has hardly anything to mask, so a policy without its own dose 0 starts at another policy's.
    """
    reference = clean_reference(panels)
    if reference is None:
        return []
    draws = _draw(panels, panels.index(reference), resamples, seed)
    points = []
    for method in sorted({cell.method for cell in panels.cells}):
        arms = [arm for arm in panels.arms() if method in panels.methods(arm)]
        points += _curve(panels, arms, method, draws, allowance)
    return _with_borrowed_origin(points)


def _draw(panels: Panels, reference: int, resamples: int, seed: int) -> _Draws:
    rng = np.random.default_rng([seed, 0xD05E])
    prompts = draw_weights(rng, resamples, panels.mean.clusters)
    documents = draw_weights(rng, resamples, panels.cross_entropy.clusters)
    return _Draws(
        (panels.mean.values()[None], panels.mean.replicates(prompts), panels.mean.per_seed()),
        (
            panels.cross_entropy.values()[None],
            panels.cross_entropy.replicates(documents),
            panels.cross_entropy.per_seed(),
        ),
        reference,
    )


def _curve(panels: Panels, arms: list[Treatment], method: str, draws: _Draws, allowance: float) -> list[Point]:
    """The points of one method; its arms pool their seed variance."""
    read = []
    for arm in arms:
        cells = panels.frontier_cells(arm, method)
        read.append(
            [
                at_budget(entropy[:, cells], toxicity[:, cells], entropy[:, draws.reference] + allowance)
                for toxicity, entropy in zip(draws.toxicity, draws.cross_entropy, strict=True)
            ]
        )
    value, resampled, by_seed = (np.stack([r[i].toxicity for r in read], -1) for i in range(3))
    estimates = intervals(value[0], resampled, by_seed, clusters=panels.mean.clusters, bounds=(0.0, 1.0))
    budget = float(draws.cross_entropy[0][0, draws.reference]) + allowance
    points = []
    for arm, estimate, (_, replicates, _) in zip(arms, estimates, read, strict=True):
        best = recipe(panels, arm, method, draws.toxicity[0][0], draws.cross_entropy[0][0], budget)
        share = float(replicates.feasible.mean())
        points.append(Point(arm, method, best.strength(panels.cells), estimate, best.feasible, share))
    return points


def _with_borrowed_origin(points: list[Point]) -> list[Point]:
    """Give every (method, policy) curve a point at dose 0."""
    origins = {point.method: point for point in reversed(points) if point.arm.dose == 0}
    curves = {(point.method, point.arm.policy) for point in points}
    have = {(point.method, point.arm.policy) for point in points if point.arm.dose == 0}
    borrowed = [
        replace(origins[method], arm=origins[method].arm._replace(policy=policy))
        for method, policy in sorted(curves - have)
        if method in origins
    ]
    return sorted([*points, *borrowed], key=lambda point: (point.method, point.arm.policy, point.arm.dose))
