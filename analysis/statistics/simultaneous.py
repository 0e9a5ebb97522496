"""Intervals that hold for many differences at once, so that the best of them may be named.

max-t: the half-widths are one multiple of each difference's standard error, the quantile of the largest |t| of all
under errors drawn from their joint distribution (single-step max-t: Hothorn, Bretz & Westfall 2008, Biometrical J.
50:346). Errors are normal over one draw of chi-squared for the pooled variance, hence jointly t. Beside it, Holm's
step-down p-values (1979), which know nothing of what the differences share.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr, stdtrit

from analysis.statistics.intervals import Array, Estimate


@dataclass(frozen=True)
class Simultaneous:
    """Intervals of n differences that all hold together at their level, with p-values for n comparisons."""

    estimates: tuple[Estimate, ...]
    max_t: Array
    """Adjusted p-value of each difference [n]."""
    holm: Array
    """The same by Holm's method [n]."""


def simultaneous(
    values: Array, variances: Array, df: Array, errors: Array, rng: np.random.Generator, level: float = 0.95
) -> Simultaneous:
    """Intervals of differences [n] with variances and degrees of freedom [n], from joint errors [draws, n].

    A difference without any error has the limits of its value; where a variance is nan there are no limits.
    """
    if not np.isfinite(variances).all():
        nan = float("nan")
        nothing = tuple(Estimate(float(value), nan, nan, nan, 0.0, level) for value in values)
        return Simultaneous(nothing, np.ones(len(values)), np.ones(len(values)))
    se = np.sqrt(variances)
    common = float(np.median(df))
    tail = (1 + level) / 2
    # Some differences stand on fewer degrees of freedom than most: they count as noisier.
    wide = se * stdtrit(df, tail) / stdtrit(common, tail)
    spread = np.sqrt(rng.chisquare(common, len(errors)) / common)
    largest = (np.abs(np.divide(errors, wide, out=np.zeros_like(errors), where=wide > 0)) / spread[:, None]).max(1)
    half = float(np.quantile(largest, level)) * wide
    estimates = tuple(
        Estimate(float(v), float(v - h), float(v + h), float(s), float(d), level)
        for v, h, s, d in zip(values, half, se, df, strict=True)
    )
    t = np.abs(np.divide(values, wide, out=np.zeros_like(values), where=wide > 0))
    beyond = (largest[:, None] >= t).sum(0)
    single = 2 * stdtr(df, -np.abs(np.divide(values, se, out=np.zeros_like(values), where=se > 0)))
    return Simultaneous(estimates, (beyond + 1) / (len(largest) + 1), holm(single))


def holm(p: Array) -> Array:
    """Holm's adjusted p-values."""
    order = np.argsort(p)
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.clip(stepped, 0, 1)
    return adjusted
