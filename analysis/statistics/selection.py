"""What choosing gives: the best of many recipes is chosen on one noisy copy of the figures and measured on another that
knows nothing of the first.

Measuring the least toxic of many noisy figures on the noise that made it the least flatters it (the winner's curse).
Leaving seeds or prompts out in turn takes the flattery away, but where recipes are close the choice jumps from fold to
fold, and its errors add up: with ten seeds and 20 equal arms the variance is 2.7 times that of one plain difference,
and nothing in the folds tells so. So the copies are made by noise instead of by folds. With y the figures, w errors as
large as theirs (`Crossed.draws`) and g = sqrt(INFORMATION_LEFT / (1 - INFORMATION_LEFT)),

    choose on  y + g w        measure on  y - w / g

are independent for normal figures, as two parts of the data would be, whose first holds 1 - INFORMATION_LEFT of the
information; the mean over many w uses all data (coupled bootstrap: Oliveira, Lei & Tibshirani 2021, arXiv 2111.09447;
data fission: Leiner, Duan, Wasserman & Ramdas 2023, JASA). With f(y) the share of the w that choose each recipe and
M = mean of w f' / g = Cov(y) grad f, the mean is f'y - tr M, without bias for f'mu, the true figure of what is chosen;
its error has the variance f' Cov(y) f + tr(M M) (second-order Stein identity: Bellec & Zhang 2021, Ann. Stat. 49:1864).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from analysis.statistics.crossed import Crossed
from analysis.statistics.intervals import Array, Estimate

INFORMATION_LEFT = 1 / 3
"""Share of the information that a choice leaves for measuring. A third makes the error about that of a plain
difference; less lets the choice jump, more chooses worse than all data do.
"""

_GAIN = float(np.sqrt(INFORMATION_LEFT / (1 - INFORMATION_LEFT)))


@dataclass(frozen=True)
class Selection:
    """Which of the `candidates` is chosen on each noisy copy of the figures; `cells` is the number of all cells."""

    picks: NDArray[np.intp]
    """Cell that is chosen on each copy [draws]."""
    cells: int

    def share(self, cell: int) -> float:
        """How often a cell is chosen."""
        return float((self.picks == cell).mean())


def select(values: Array, errors: Array, candidates: NDArray[np.intp]) -> Selection:
    """The lowest of some cells on every copy of the figures [cells], from errors [draws, cells]."""
    copies = values[candidates] + _GAIN * errors[:, candidates]
    return Selection(candidates[copies.argmin(1)], len(values))


def measured(
    errors: Array,
    crossed: Crossed,
    panel: int,
    chosen: Selection,
    against: Selection | None = None,
    *,
    level: float = 0.95,
    lowest: float = -np.inf,
) -> Estimate:
    """A panel's figure of what is chosen, less that of what is chosen `against` it, from the panel's errors."""
    sides = [chosen.picks] if against is None else [chosen.picks, against.picks]
    used = np.unique(np.concatenate(sides))
    weights = sum(sign * (picks[:, None] == used) for sign, picks in zip((1.0, -1.0), sides, strict=False))
    share = np.zeros((1, chosen.cells))
    share[0, used] = weights.mean(0)
    flattery = errors[:, used].T @ weights / (len(errors) * _GAIN)
    value = float(share[0] @ crossed.panels[panel].values - np.trace(flattery))
    variance, df = crossed.variances(panel, share)
    se = float(np.sqrt(variance[0] + (flattery * flattery.T).sum().clip(0)))
    half = float(stdtrit(df[0], (1 + level) / 2)) * se
    return Estimate(value, max(value - half, lowest), value + half, se, float(df[0]), level)
