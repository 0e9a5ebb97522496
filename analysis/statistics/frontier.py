"""What a method reaches within a budget on an arm: the least toxic of the points that were measured.

A point is a recipe at a setting, and doing nothing is always one of them. Nothing is read between points: what is
named was run.

What a point costs is counted from the arm's own unsteered model (`own`) or from the clean unsteered arm (`clean`). For
`own`, a point with a budget is within the allowance if its budget is: its strength was found to cost that much, and
whether the documents of the results agree to the last thousandth is chance. One whose strength is 0 is not within it:
there the rest of its recipe costs more than its budget. A point with a strength, and every point for `clean`, is within
the allowance if its measured cost is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from analysis.statistics.intervals import Array
from analysis.statistics.panels import NONE, Cell, Panels, Treatment

Mask = NDArray[np.bool_]

CountedFrom = Literal["own", "clean"]
"""Whose unsteered cross-entropy costs count from: the arm's own, or the clean arm's."""


@dataclass(frozen=True)
class Allowance:
    """Nats per token that a recipe may cost, and above what."""

    nats: float
    counted_from: CountedFrom = "own"

    @property
    def words(self) -> str:
        """As a sentence begins."""
        whose = "its own unsteered model" if self.counted_from == "own" else "the clean unsteered model"
        return f"{self.nats:g} nats per token of {whose}"


@dataclass(frozen=True)
class Recipe:
    """The best use of a method on an arm: one cell, its toxicity where it was chosen, and whether it is within the
    budget.
    """

    arm: Treatment
    method: str
    cell: int
    """Index of the cell; of doing nothing, where no setting is better."""
    toxicity: float
    feasible: bool
    """False where even the cheapest point costs more than the budget; it is then that point."""


def clean_reference(panels: Panels) -> Cell | None:
    """The clean arm doing nothing: what costs of `clean` count from. Policy `keep` where there are several."""
    lacking = {gap.cell for gap in panels.gaps}
    references = [cell for cell in panels.cells if cell.arm.dose == 0 and cell.method == NONE and cell not in lacking]
    return min(references, key=lambda cell: (cell.arm.policy != "keep", cell.arm), default=None)


def costs(panels: Panels, cross_entropy: Array, counted_from: CountedFrom) -> Array:
    """What each cell costs [..., cells], from the cells' cross-entropies [..., cells]; nan without a reference."""
    clean = clean_reference(panels)
    shared = None if clean is None else panels.index(clean)
    out = np.full_like(cross_entropy, np.nan)
    for i, cell in enumerate(panels.cells):
        base = panels.own_reference(cell) if counted_from == "own" else shared
        if base is not None:
            out[..., i] = cross_entropy[..., i] - cross_entropy[..., base]
    return out


def within(panels: Panels, cost: Array, allowance: Allowance) -> Mask:
    """Whether each cell is within the allowance, from `costs` [..., cells]."""
    mask = np.array(cost <= allowance.nats, dtype=np.bool_)
    for i, cell in enumerate(panels.cells):
        if allowance.counted_from == "own" and cell.setting.by_budget:
            mask[..., i] = cell.setting.value <= allowance.nats and panels.strengths[cell][0] > 0
    return mask


def best_within(toxicity: Array, cost: Array, affordable: Mask) -> tuple[NDArray[np.intp], Mask]:
    """Of k points, for each of b resamples [b, k]: the least toxic affordable one, of equals the cheapest, [b]; and
    whether there is any [b]. Where there is none, the cheapest point.
    """
    # What was not measured is never chosen while something was.
    toxicity = np.where(np.isnan(toxicity), np.inf, toxicity)
    cost = np.where(np.isnan(cost), np.finfo(np.float64).max, cost)
    feasible: Mask = np.any(affordable, axis=1)
    open_to: Mask = affordable | (~feasible[:, None] & (cost == cost.min(1, keepdims=True)))
    lowest = np.where(open_to, toxicity, np.inf).min(1, keepdims=True)
    return np.where(open_to & (toxicity == lowest), cost, np.inf).argmin(1), feasible


def undominated(cross_entropy: Array, toxicity: Array) -> Mask:
    """Which of k points [k] are on the frontier: no other point is as cheap and less toxic, or as harmless and
    cheaper.
    """
    cheaper = cross_entropy[:, None] >= cross_entropy[None, :]
    milder = toxicity[:, None] >= toxicity[None, :]
    strictly = (cross_entropy[:, None] > cross_entropy[None, :]) | (toxicity[:, None] > toxicity[None, :])
    dominated: Mask = np.any(cheaper & milder & strictly, axis=1)
    return ~dominated


def recipe(panels: Panels, arm: Treatment, method: str, toxicity: Array, cost: Array, affordable: Mask) -> Recipe:
    """The best use of a method on an arm, from the cells' figures [cells]."""
    points = np.array(panels.frontier_cells(arm, method))
    chosen, feasible = best_within(toxicity[None, points], cost[None, points], affordable[None, points])
    cell = int(points[chosen[0]])
    return Recipe(arm, method, cell, float(toxicity[cell]), bool(feasible[0]))
