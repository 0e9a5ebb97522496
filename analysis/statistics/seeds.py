"""Intervals of figures of which every seed gives one value: models are the units, and nothing below them is.

Heads of a model, or features of a toy model, are not independent of one another; the seeds of a training are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from scipy.stats import norm
from scipy.stats import t as student

from analysis.statistics.intervals import Array, Estimate

RESAMPLES = 10_000


def over_seeds(
    values: Array,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = 0.95,
    bounds: tuple[float, float] = (-np.inf, np.inf),
) -> list[Estimate]:
    """The mean over seeds of each figure, `values` [seeds, figures], with its bootstrap interval, cut at `bounds`.

    Percentiles of a bootstrap over few seeds are short twice: its variance is (n - 1) / n of the unbiased one, and z
    stands where Student's t should (Hesterberg 2015, Am. Stat. 69:371). Both are put right; a resample also reaches
    no further than the seeds do, so an arm of the interval is t standard errors at least. With one seed nothing is
    known of others, and the interval is nan.
    """
    n, figures = values.shape
    mean = values.mean(0)
    if n < 2:
        nan = float("nan")
        return [Estimate(float(value), nan, nan, nan, 0.0, level) for value in mean]
    tail = (1 - level) / 2
    error = values.std(0, ddof=1) / np.sqrt(n)
    weights = np.random.default_rng([seed, 0x5EED]).multinomial(n, np.full(n, 1 / n), size=resamples) / n
    low, high = np.quantile(weights @ values, [tail, 1 - tail], axis=0)
    reach = np.sqrt(n / (n - 1)) / norm.ppf(1 - tail)
    t = student.ppf(1 - tail, n - 1)
    below, above = (t * np.maximum(reach * arm, error) for arm in (mean - low, high - mean))
    low, high = np.maximum(mean - below, bounds[0]), np.minimum(mean + above, bounds[1])
    return [Estimate(float(mean[i]), float(low[i]), float(high[i]), float(error[i]), n - 1.0, level)
            for i in range(figures)]  # fmt: skip


def columns(name: str, estimates: list[Estimate]) -> dict[str, Any]:
    """NAME, NAME_low and NAME_high as columns of a frame; null where nothing is known."""
    return {
        f"{name}{suffix}": pl.Series([getattr(e, key) for e in estimates], dtype=pl.Float64).fill_nan(None)
        for suffix, key in (("", "value"), ("_low", "low"), ("_high", "high"))
    }
