"""Paired intervals for statistics that are ratios of sums: prompts are resampled, seeds enter by their variance.

Every figure of a study is a ratio of sums over seeds s and clusters p (prompts, documents or heads). For cell c (an arm
with a method at a strength) and resampling weights w,

    R_c(w) = sum_sp w_p N_csp / sum_sp w_p D_csp

| figure | N | D |
|---|---|---|
| mean toxicity | sum of the scores of the scored samples | number of scored samples |
| P(score >= 0.5) | samples at or above 0.5 | number of scored samples |
| expected maximum | highest score among the scored samples | 1 if any sample was scored |
| cross-entropy | nats of the document | predicted tokens of the document |

**Within seeds**: a cluster bootstrap. One draw of w is shared by all cells and seeds, so every difference is paired.
Clusters are drawn n - 1 out of n with weight n / (n - 1) (Rao & Wu 1988), which makes the variance unbiased.

**Between seeds**: the variance over seeds of the figure (or of the paired difference) under each seed alone, divided by
the number of seeds. Resampling would not do here: two seeds have two values, and a percentile of two values is at most
one standard error away where 1.96 are needed. Two seeds that agree by luck would also give a variance near zero, so the
larger of the figure's own and the mean over the figures it is reported with is used.

**Interval**: estimate - t sqrt(b^2 + v) to estimate + t sqrt(b'^2 + v), where b and b' are the distances of the
bootstrap percentiles divided by z (they keep the skew), v is the variance between seeds, and t has Satterthwaite's
degrees of freedom over the two parts (compare the expanded percentile interval, Hesterberg 2015, Am. Stat. 69:371).
`tests/analysis` checks coverage and false claims by simulation. The interaction of seed and prompt is in both parts, so
that intervals are a little long rather than short. With one seed the intervals speak of these very models only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm
from scipy.stats import t as student

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A figure with its interval at `level`; `df` is the degrees of freedom its standard error stands on."""

    value: float
    low: float
    high: float
    se: float
    df: float
    level: float = 0.95

    @property
    def excludes_zero(self) -> bool:
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Panel:
    """Numerators and denominators [cells, seeds, clusters] of one figure; zero where there is no observation."""

    numerator: Array
    denominator: Array

    @property
    def clusters(self) -> int:
        return self.numerator.shape[2]

    def select(self, clusters: NDArray[np.bool_]) -> Panel:
        """The same panel over a part of its clusters."""
        return Panel(self.numerator[:, :, clusters], self.denominator[:, :, clusters])

    def values(self) -> Array:
        """The figure of each cell [cells], every seed counting by what was observed under it."""
        return _divide(self.numerator.sum((1, 2)), self.denominator.sum((1, 2)))

    def per_seed(self) -> Array:
        """The figure of each cell under each seed alone [seeds, cells]."""
        return _divide(self.numerator.sum(2), self.denominator.sum(2)).T

    def replicates(self, weights: Array) -> Array:
        """The figure of each cell in each resample [resamples, cells]; `weights` [resamples, clusters]."""
        return _divide(weights @ self.numerator.sum(1).T, weights @ self.denominator.sum(1).T)

    def filled(self) -> Panel:
        """Missing (cell, seed) blocks take the mean block of the cell's other seeds: an estimate from fewer seeds."""
        numerator, denominator = self.numerator.copy(), self.denominator.copy()
        observed = denominator.sum(2) > 0
        for cell, seed in np.argwhere(~observed & observed.any(1, keepdims=True)):
            numerator[cell, seed] = self.numerator[cell, observed[cell]].mean(0)
            denominator[cell, seed] = self.denominator[cell, observed[cell]].mean(0)
        return Panel(numerator, denominator)


def draw_weights(rng: np.random.Generator, resamples: int, clusters: int) -> Array:
    """Resampling weights [resamples, clusters], each row of mean 1."""
    if clusters == 1:
        return np.ones((resamples, 1))
    drawn = rng.multinomial(clusters - 1, np.full(clusters, 1 / clusters), size=resamples)
    return drawn.astype(np.float64) * (clusters / (clusters - 1))


def intervals(
    values: Array,
    replicates: Array,
    per_seed: Array,
    *,
    clusters: int,
    level: float = 0.95,
    bounds: tuple[float, float] = (-np.inf, np.inf),
    shared_reference: bool = False,
) -> list[Estimate]:
    """Intervals of n figures that are reported together.

    `values` [n], `replicates` [resamples, n] and `per_seed` [seeds, n] (the figures under each seed alone) belong
    together; `clusters` is the number of prompts. The n figures pool their seed variance. `shared_reference` says that
    they are differences from one common arm, whose noise they share, which costs the pooled variance degrees of
    freedom: squared correlations of 1/4 between n variances leave 4n / (n + 3) of n. Of one cluster
    nothing is known but its value: the limits are nan then.
    """
    if clusters < 2:
        nan = float("nan")
        return [Estimate(float(value), nan, nan, nan, 0.0, level) for value in values]
    seeds, n = per_seed.shape
    variances = np.nan_to_num(per_seed.var(0, ddof=1) / seeds) if seeds > 1 else np.zeros(n)
    pooled_df = (seeds - 1) * (4 * n / (n + 3) if shared_reference else n)
    estimates: list[Estimate] = []
    for i in range(n):
        noise = _Noise(max(float(variances[i]), float(variances.mean())), pooled_df, clusters - 1)
        estimates.append(_interval(float(values[i]), replicates[:, i], noise, level, bounds))
    return estimates


def seed_split(items: Sequence[int], seed: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Two halves of `items` as masks, chosen by `seed`: one to select on, the other to estimate on."""
    first = np.zeros(len(items), dtype=bool)
    first[np.random.default_rng([seed, 0x5EED]).permutation(len(items))[: len(items) // 2]] = True
    return first, ~first


@dataclass(frozen=True)
class _Noise:
    """Variance between seeds and its degrees of freedom; `cluster_df` are those of the bootstrap."""

    between: float
    between_df: float
    cluster_df: float


def _interval(value: float, draws: Array, noise: _Noise, level: float, bounds: tuple[float, float]) -> Estimate:
    draws = draws[np.isfinite(draws)]
    if not np.isfinite(value) or not draws.size:
        return Estimate(float("nan"), float("nan"), float("nan"), float("nan"), 0.0, level)
    within = float(draws.var())
    df = _satterthwaite(noise.between, max(noise.between_df, 1.0), within, max(noise.cluster_df, 1.0))
    tail = (1 - level) / 2
    t, z = float(student.ppf(1 - tail, df)), float(norm.ppf(1 - tail))
    percentiles = np.quantile(draws - value, [tail, 1 - tail])
    # The interval always holds its estimate: a skewed bootstrap distribution may lie beside it altogether.
    below, above = (t * np.hypot(max(side, 0.0) / z, np.sqrt(noise.between)) for side in percentiles * [-1, 1])
    low, high = float(max(value - below, bounds[0])), float(min(value + above, bounds[1]))
    return Estimate(value, low, high, float(np.sqrt(within + noise.between)), df, level)


def _satterthwaite(between: float, between_df: float, within: float, within_df: float) -> float:
    """Degrees of freedom of the sum of two independent variances."""
    divisor = between**2 / between_df + within**2 / within_df
    if divisor == 0:  # also of variances so small that their squares are 0 in floating point
        return within_df
    return (between + within) ** 2 / divisor


def _divide(top: Array, bottom: Array) -> Array:
    """`top / bottom`, and nan where nothing was observed."""
    return np.divide(top, bottom, out=np.full_like(top, np.nan), where=bottom > 0)
