"""Figures with their intervals: a mean over texts, resampled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import bootstrap

if TYPE_CHECKING:
    from numpy.typing import NDArray

_RESAMPLES = 2000


@dataclass(frozen=True)
class BootstrapEstimate:
    """A figure over texts and its 95 % percentile bootstrap interval (texts resampled); printed with `digits`."""

    value: float
    low: float
    high: float
    digits: int = 4

    def __str__(self) -> str:
        value, low, high = (f"{number:.{self.digits}f}" for number in (self.value, self.low, self.high))
        return f"{value} ({low} to {high})"


def estimate(values: NDArray[np.float64], seed: int = 0) -> BootstrapEstimate:
    """Mean and interval of a number per text."""
    if len(values) < 2 or np.ptp(values) == 0:
        mean = float(values.mean()) if len(values) else float("nan")
        return BootstrapEstimate(mean, mean, mean)
    drawn = bootstrap((values,), np.mean, n_resamples=_RESAMPLES, method="percentile", vectorized=True, batch=200,
                      rng=np.random.default_rng(seed))  # fmt: skip
    return BootstrapEstimate(
        float(values.mean()), float(drawn.confidence_interval.low), float(drawn.confidence_interval.high)
    )
