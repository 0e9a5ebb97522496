"""The dose-response curve of each method: the least toxicity that it reached within an allowance of cross-entropy,
dose by dose, under each loss policy.

In each resample the setting is chosen anew, so that the interval holds the uncertainty of the choice, and of measured
costs. It is chosen on the same prompts, which flatters every point alike and a little: the answer
(`analysis.statistics.answer`) does not do so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from analysis.statistics.frontier import Allowance, Mask, best_within, clean_reference, costs, recipe, within
from analysis.statistics.intervals import Array, Estimate, draw_weights, intervals
from analysis.statistics.panels import Cell, Panels, Treatment


@dataclass(frozen=True)
class Point:
    """Toxicity of an arm under a method within the allowance (and, for comparison, without any steering)."""

    arm: Treatment
    method: str
    cell: Cell
    """What was run: the method at its least toxic setting, or nothing."""
    toxicity: Estimate
    feasible: bool
    """False where even doing nothing costs more than the budget; the toxicity is then that of the cheapest point."""
    within_budget: float
    """Share of the resamples in which the arm stays within the budget."""


@dataclass(frozen=True)
class _Draws:
    """Figures of all cells: [1, cells] as measured, [resamples, cells] resampled, [seeds, cells] seed by seed."""

    toxicity: tuple[Array, Array, Array]
    cost: tuple[Array, Array, Array]
    affordable: tuple[Mask, Mask, Mask]


def dose_response(panels: Panels, allowance: Allowance, *, resamples: int = 2000, seed: int = 0) -> list[Point]:
    """All points by method, policy and dose; none without a clean unsteered arm to compare with.

    A clean arm has hardly anything to mask, so a policy without its own dose 0 starts at another policy's.
    """
    if clean_reference(panels) is None:
        return []
    draws = _draw(panels, allowance, resamples, seed)
    points = []
    for method in sorted({cell.method for cell in panels.cells}):
        arms = [arm for arm in panels.arms() if method in panels.methods(arm)]
        points += _curve(panels, arms, method, draws)
    return _with_borrowed_origin(points)


def _draw(panels: Panels, allowance: Allowance, resamples: int, seed: int) -> _Draws:
    rng = np.random.default_rng([seed, 0xD05E])
    prompts = draw_weights(rng, resamples, panels.mean.clusters)
    documents = draw_weights(rng, resamples, panels.cross_entropy.clusters)
    entropy = panels.cross_entropy
    toxicities = (panels.mean.values()[None], panels.mean.replicates(prompts), panels.mean.per_seed())
    entropies = (entropy.values()[None], entropy.replicates(documents), entropy.per_seed())
    whole, resampled, by_seed = (costs(panels, figures, allowance.counted_from) for figures in entropies)
    affordable = [within(panels, cost, allowance) for cost in (whole, resampled, by_seed)]
    return _Draws(toxicities, (whole, resampled, by_seed), (affordable[0], affordable[1], affordable[2]))


def _curve(panels: Panels, arms: list[Treatment], method: str, draws: _Draws) -> list[Point]:
    """The points of one method; its arms pool their seed variance."""
    read = [_read(panels.frontier_cells(arm, method), draws) for arm in arms]
    value, resampled, by_seed = (np.stack([reading[i] for reading, _ in read], -1) for i in range(3))
    bests = [
        recipe(panels, arm, method, draws.toxicity[0][0], draws.cost[0][0], draws.affordable[0][0]) for arm in arms
    ]
    interactions = panels.mean.interactions(np.array([best.cell for best in bests], np.intp))
    estimates = intervals(
        value[0], resampled, by_seed, clusters=panels.mean.clusters, interactions=interactions, bounds=(0.0, 1.0)
    )
    points = []
    for arm, best, estimate, (_, share) in zip(arms, bests, estimates, read, strict=True):
        points.append(Point(arm, method, panels.cells[best.cell], estimate, best.feasible, share))
    return points


def _read(cells: list[int], draws: _Draws) -> tuple[list[Array], float]:
    """The toxicity of the best of these cells [b] as measured, resampled and by seed; and the share of the resamples
    in which any is within the allowance.
    """
    values, shares = [], []
    for toxicity, cost, affordable in zip(draws.toxicity, draws.cost, draws.affordable, strict=True):
        chosen, feasible = best_within(toxicity[:, cells], cost[:, cells], affordable[:, cells])
        values.append(np.take_along_axis(toxicity[:, cells], chosen[:, None], 1)[:, 0])
        shares.append(float(feasible.mean()))
    return values, shares[1]


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
