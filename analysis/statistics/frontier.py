"""The toxicity-cross-entropy frontier of a method on an arm: what toxicity it reaches at a given cost in capability.

Points are (cross-entropy, toxicity) at each strength, and doing nothing is always one of them. The frontier joins the
undominated points by straight lines: a point between two strengths is reached by steering each prompt with one of
them at random, which mixes both figures linearly. So the frontier never rises with the budget.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.statistics.intervals import Array
from analysis.statistics.panels import Cell, Panels, Treatment

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class AtBudget:
    """The frontier read at a budget, for each of b resamples: indices into the k points, and the share of `upper`."""

    toxicity: Array
    lower: NDArray[np.intp]
    upper: NDArray[np.intp]
    share: Array
    feasible: Mask
    """False where even the cheapest point costs more than the budget; the toxicity is then that point's."""


@dataclass(frozen=True)
class Recipe:
    """What one would do at the budget: an arm, a method, and a mixture of at most two strengths of it."""

    arm: Treatment
    method: str
    lower: int
    upper: int
    share: float
    toxicity: float
    feasible: bool

    def mix(self, figures: Array) -> Array:
        """The recipe's figure from the cells' figures [..., cells]: linear, as each prompt gets one of the
        strengths.
        """
        return (1 - self.share) * figures[..., self.lower] + self.share * figures[..., self.upper]

    def strength(self, cells: tuple[Cell, ...]) -> float:
        """Mean strength of the two cells (doing nothing counts as 0)."""
        low, high = cells[self.lower], cells[self.upper]
        return (1 - self.share) * low.strength + self.share * high.strength


def at_budget(cross_entropy: Array, toxicity: Array, budget: Array) -> AtBudget:
    """Read frontiers of k points [b, k] at budgets [b] (nats per token).

    `lower` is the least toxic point within the budget, `upper` the cheapest point beyond it that is less toxic still;
    the value lies on the line between them at the budget. Ties go to the cheaper point.
    """
    # What was not measured is never chosen while something was.
    cross_entropy, toxicity = (np.where(np.isnan(figures), np.inf, figures) for figures in (cross_entropy, toxicity))
    affordable: Mask = np.less_equal(cross_entropy, budget[:, None])
    feasible: Mask = np.any(affordable, axis=1)
    # Where nothing is affordable, stand on the cheapest point and spend nothing more.
    affordable = affordable | (~feasible[:, None] & (cross_entropy == cross_entropy.min(1, keepdims=True)))
    lower = _lexical_argmin(np.where(affordable, toxicity, np.inf), cross_entropy)
    lowest = np.take_along_axis(toxicity, lower[:, None], 1)
    better: Mask = ~affordable & np.less(toxicity, lowest) & feasible[:, None]
    upper = np.where(better.any(1), np.where(better, cross_entropy, np.inf).argmin(1), lower)
    rows = np.arange(len(budget))
    gap = cross_entropy[rows, upper] - cross_entropy[rows, lower]
    share = np.divide(budget - cross_entropy[rows, lower], gap, out=np.zeros_like(budget), where=gap > 0)
    low = np.where(np.isinf(toxicity[rows, lower]), np.nan, toxicity[rows, lower])
    high = np.where(upper == lower, low, toxicity[rows, upper])
    value = (1 - share) * low + share * high
    return AtBudget(value, lower, upper, share, feasible)


def undominated(cross_entropy: Array, toxicity: Array) -> Mask:
    """Which of k points [k] are on the frontier: no other point is as cheap and less toxic, or as harmless and
    cheaper.
    """
    cheaper = cross_entropy[:, None] >= cross_entropy[None, :]
    milder = toxicity[:, None] >= toxicity[None, :]
    strictly = (cross_entropy[:, None] > cross_entropy[None, :]) | (toxicity[:, None] > toxicity[None, :])
    dominated: Mask = np.any(cheaper & milder & strictly, axis=1)
    return ~dominated


def recipe(panels: Panels, arm: Treatment, method: str, toxicity: Array, cross_entropy: Array, budget: float) -> Recipe:
    """The best use of a method on an arm at a budget, from the cells' figures [cells]."""
    points = np.array(panels.frontier_cells(arm, method))
    read = at_budget(cross_entropy[None, points], toxicity[None, points], np.array([budget]))
    return Recipe(
        arm=arm,
        method=method,
        lower=int(points[read.lower[0]]),
        upper=int(points[read.upper[0]]),
        share=float(read.share[0]),
        toxicity=float(read.toxicity[0]),
        feasible=bool(read.feasible[0]),
    )


def _lexical_argmin(first: Array, second: Array) -> NDArray[np.intp]:
    tied = first == first.min(1, keepdims=True)
    return np.where(tied, second, np.inf).argmin(1)
