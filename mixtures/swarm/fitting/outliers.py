"""Runs that are far off: proxies that diverged, or results with a slip of the decimal point.

A robust fit of the log-linear law says what the other runs make one expect. A run is far off where it misses that by
many times what they miss theirs by, and by more than the target varies at all. Such runs are named and left out of
every fit, as trees, cross-validated squared errors and the bootstrap have no defence against them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixtures.swarm.responses.log_linear import LogLinear, spread_of
from mixtures.swarm.solving.capped import Array
from mixtures.swarm.tables import Runs

FAR = 8.0
"""In standard deviations of the other runs' residuals (by their median, for the parameters of the fit corrected)."""
WILD = 3.0
"""And in standard deviations of the target."""
LARGEST_SHARE = 0.15
"""Were more runs than this share far off, the law would not hold, and nothing could be said of single runs."""


@dataclass(frozen=True)
class Outlier:
    """A run that is far off: its name, and the target where it is furthest, in the units of the results."""

    run: str
    target: str
    measured: float
    expected: float

    def __str__(self) -> str:
        return (
            f"run {self.run} is far off: {self.target} {self.measured:.4g}, where the other runs let "
            f"{self.expected:.4g} be expected; it is left out"
        )


def find_outliers(runs: Runs, signs: Array, spare: int) -> tuple[Outlier, ...]:
    """The runs that are far off in any target, in order; none where more than `spare` would have to go."""
    signed, count = runs.results * signs, len(runs.index)
    fitted = LogLinear.fit(runs.mixtures, signed, np.ones((1, count)), 0).predict(runs.mixtures)[0].T
    size, spread = np.abs(signed - fitted), spread_of(signed)
    free = max(1, count - runs.mixtures.shape[1] - 1)
    usual = 1.4826 * np.median(size, axis=0) * np.sqrt(count / free)
    far = (size > FAR * usual) & (size > WILD * spread)
    rows = np.flatnonzero(far.any(1))
    if len(rows) > min(spare, LARGEST_SHARE * count):
        return ()
    worst = np.where(far, size / spread, 0.0)[rows].argmax(1)
    return tuple(
        Outlier(runs.index[row], runs.targets[column], float(runs.results[row, column]),
                float(fitted[row, column] * signs[column]))
        for row, column in zip(rows.tolist(), worst.tolist(), strict=True)
    )  # fmt: skip
