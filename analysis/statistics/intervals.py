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
one standard error away where 1.96 are needed. Two seeds that agree by luck would also give a variance near zero, so
figures that are reported together share their mean variance, unless their own is larger than chance allows (F test at
HETEROGENEOUS): then they stand on their own.

**Interaction**: what seed and cluster add together is in both parts. It is estimated by itself and taken out of the
seeds' part (`Panel.interactions`; the method of moments of `analysis.statistics.crossed`). Without it two seeds gave
intervals 1.9 times as long as needed.

**Interval**: estimate - t sqrt(b^2 + v) to estimate + t sqrt(b'^2 + v), where b and b' are the distances of the
bootstrap percentiles divided by z (they keep the skew), v is the variance between seeds, and t has Satterthwaite's
degrees of freedom over the two parts (compare the expanded percentile interval, Hesterberg 2015, Am. Stat. 69:371).
`tests/analysis` and `benchmarks/statistics` check coverage by simulation. With one seed the intervals speak of these
very models only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import f as fisher
from scipy.stats import norm
from scipy.stats import t as student

Array = NDArray[np.float64]

HETEROGENEOUS = 0.01
"""Level of the test after which a figure no longer shares the others' variance between seeds. Ours: low enough that
figures with equal variances nearly always share.
"""


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

    def influence(self) -> Array:
        """What each seed and cluster adds to the error of each cell's figure [cells, seeds, clusters]; sums are 0."""
        total = self.denominator.sum((1, 2), keepdims=True)
        value = _divide(self.numerator.sum((1, 2), keepdims=True), total)
        return _divide(self.numerator - value * self.denominator, np.broadcast_to(total, self.numerator.shape))

    def interactions(self, of: NDArray[np.intp], less: NDArray[np.intp] | None = None) -> Array:
        """Variance that seed and cluster together, beyond either alone, leave in the figures of n cells [n], or in
        their differences from as many others.
        """
        _, seeds, clusters = self.numerator.shape
        if seeds < 2 or clusters < 2:
            return np.zeros(len(of))
        influence = self.influence()
        alone = influence - influence.mean(2, keepdims=True) - influence.mean(1, keepdims=True)
        left = alone[of] if less is None else alone[of] - alone[less]
        share: Array = (left**2).sum((1, 2)) * (seeds * clusters / ((seeds - 1) * (clusters - 1)))
        return share

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
    interactions: Array | None = None,
    bounds: tuple[float, float] = (-np.inf, np.inf),
    shared_reference: bool = False,
) -> list[Estimate]:
    """Intervals of n figures that are reported together.

    `values` [n], `replicates` [resamples, n] and `per_seed` [seeds, n] (the figures under each seed alone) belong
    together; `clusters` is the number of prompts and `interactions` [n] the variance of `Panel.interactions`, 0 where
    it is not given. The n figures pool their seed variance. `shared_reference` says that they are differences from one
    common arm, whose noise they share, which costs the pooled variance degrees of freedom: squared correlations of 1/4
    between n variances leave 4n / (n + 3) of n. Of one cluster nothing is known but its value: the limits are nan then.
    """
    if clusters < 2:
        nan = float("nan")
        return [Estimate(float(value), nan, nan, nan, 0.0, level) for value in values]
    noises = _between(per_seed, np.zeros(len(values)) if interactions is None else interactions, shared_reference)
    return [
        _interval(float(values[i]), replicates[:, i], noise, clusters - 1, level, bounds)
        for i, noise in enumerate(noises)
    ]


@dataclass(frozen=True)
class _Between:
    """Variance between seeds with and without the interaction, and its degrees of freedom."""

    gross: float
    net: float
    df: float


def _between(per_seed: Array, interactions: Array, shared_reference: bool) -> list[_Between]:
    """The seeds' part of n figures that share it, from the figures under each seed [seeds, n]."""
    seeds, n = per_seed.shape
    if seeds < 2:
        return [_Between(0.0, 0.0, 1.0)] * n
    own = np.nan_to_num(per_seed.var(0, ddof=1) / seeds)
    shared, pooled_df = float(own.mean()), (seeds - 1) * (4 * n / (n + 3) if shared_reference else n)
    shared_net = max(shared - float(interactions.mean()), 0.0)
    apart = own > shared * fisher.isf(HETEROGENEOUS, seeds - 1, pooled_df)
    return [
        _Between(variance, max(variance - interaction, 0.0), seeds - 1)
        if stands_alone
        else _Between(shared, shared_net, pooled_df)
        for variance, interaction, stands_alone in zip(own.tolist(), interactions.tolist(), apart, strict=True)
    ]


def _interval(
    value: float, draws: Array, seeds: _Between, cluster_df: int, level: float, bounds: tuple[float, float]
) -> Estimate:
    draws = draws[np.isfinite(draws)]
    if not np.isfinite(value) or not draws.size:
        return Estimate(float("nan"), float("nan"), float("nan"), float("nan"), 0.0, level)
    within = float(draws.var())
    gross = seeds.gross if seeds.net > 0 else 0.0  # no more than the interaction: the clusters' part tells it all
    df = _satterthwaite(within + seeds.net, (gross, seeds.df), (within, cluster_df))
    tail = (1 - level) / 2
    t, z = float(student.ppf(1 - tail, df)), float(norm.ppf(1 - tail))
    percentiles = np.quantile(draws - value, [tail, 1 - tail])
    # The interval always holds its estimate: a skewed bootstrap distribution may lie beside it altogether.
    below, above = (t * np.hypot(max(side, 0.0) / z, np.sqrt(seeds.net)) for side in percentiles * [-1, 1])
    low, high = float(max(value - below, bounds[0])), float(min(value + above, bounds[1]))
    return Estimate(value, low, high, float(np.sqrt(within + seeds.net)), df, level)


def _satterthwaite(total: float, *parts: tuple[float, float]) -> float:
    """Degrees of freedom of a variance made of independent (variance, degrees of freedom); never below 1."""
    divisor = sum(variance**2 / df for variance, df in parts)
    if divisor == 0 or total == 0:  # also of variances so small that their squares are 0 in floating point
        return parts[-1][1]
    return max(total**2 / divisor, 1.0)


def _divide(top: Array, bottom: Array) -> Array:
    """`top / bottom`, and nan where nothing was observed."""
    return np.divide(top, bottom, out=np.full_like(top, np.nan), where=bottom > 0)
