"""Curves through the dose-response points of a method under a loss policy, and the dose at which toxicity is least.

**Shape.** Unsteered toxicity can hardly fall as risky text is added, so its curve is the isotonic regression
(Robertson, Wright & Dykstra 1988, Order Restricted Statistical Inference, ch. 1), straight between doses. What is left
after steering may fall and then rise (Li et al. 2025), so there the curve is a natural cubic smoothing spline (Green &
Silverman 1994, Nonparametric Regression, ch. 2) with a stated number of effective degrees of freedom: the few doses of
a study do not tell how smooth it should be. Points weigh by the inverse of their variance.

**Noise.** Prompts are resampled, one draw for all points, so that differences between doses are paired. What seeds add
is their variance component (`analysis.statistics.components`), pooled over the method's arms, drawn for each arm alone:
another corpus is another course of training. Draws are of a t distribution with the degrees of freedom that the pooled
variance has. The band is that of percentiles at each dose; between measured doses it holds for the curve of that shape.
With one seed it speaks of these very models only.

**Optimum.** The dose where the smooth curve is least, with the percentiles of where it is least in the draws. It counts
as determined if these do not span most of the doses and the curve is significantly lower at some dose than at dose 0,
all doses of the curve taken together (max-t over the draws); or if it is at dose 0 in practically all draws.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from scipy.interpolate import CubicSpline
from scipy.linalg import eigh
from scipy.optimize import brentq, isotonic_regression

from analysis.statistics.components import per_prompt, two_way
from analysis.statistics.dose_response import Point
from analysis.statistics.intervals import Array, Panel, draw_weights
from analysis.statistics.panels import NONE, Panels

LEVEL = 0.95
STEPS = 100
"""A curve is read at so many equal steps of dose."""
FEW_DOSES = 5
MOST_OF_THE_RANGE = 0.8
"""An interval of the optimum that is longer than this share of the range of doses says nothing. Ours."""

Shape = Literal["increasing", "smooth"]

_CURVES: Mapping[str, pl.DataType] = {
    "method": pl.String(),
    "policy": pl.String(),
    "shape": pl.String(),
    "dose": pl.Float64(),
    "fit": pl.Float64(),
    "fit_low": pl.Float64(),
    "fit_high": pl.Float64(),
}
_OPTIMA: Mapping[str, pl.DataType] = {
    "method": pl.String(),
    "policy": pl.String(),
    "doses": pl.Int64(),
    "determined": pl.Boolean(),
    "dose": pl.Float64(),
    "dose_low": pl.Float64(),
    "dose_high": pl.Float64(),
    "gain": pl.Float64(),
    "gain_low": pl.Float64(),
    "gain_high": pl.Float64(),
    "words": pl.String(),
}


@dataclass(frozen=True)
class Optimum:
    """Where a smooth curve is least; `gain` is how far below its value at dose 0, with simultaneous limits."""

    dose: float
    low: float
    high: float
    gain: float
    gain_low: float
    gain_high: float
    doses: int
    """How many were measured: with less than FEW_DOSES, where the least is between them rests on the curve's shape."""
    doubt: str | None
    """Why the data do not determine it; None where they do."""

    @property
    def words(self) -> str:
        """As in `least toxic at 10 % (95 % interval 6 % to 14 %), 0.031 below dose 0 (0.012 to 0.050)`."""
        if self.doubt is not None:
            return f"not determined by these data: {self.doubt}"
        dose, low, high = (f"{100 * x:.3g} %" for x in (self.dose, self.low, self.high))
        if self.high == 0:
            return "least toxic at dose 0: the curve is lowest there in practically all resamples"
        below = f"{self.gain:.3f} below dose 0 ({self.gain_low:.3f} to {self.gain_high:.3f})"
        shape = f"; between its {self.doses} doses the curve's shape is assumed" if self.doses < FEW_DOSES else ""
        return f"least toxic at {dose} ({100 * LEVEL:g} % interval {low} to {high}), {below}{shape}"


@dataclass(frozen=True)
class Curve:
    """Fitted mean toxicity of a method under a policy on a grid of doses, with a band; all arrays [grid]."""

    method: str
    policy: str
    shape: Shape
    points: tuple[float, ...]
    """Doses that were measured within the allowance."""
    doses: Array
    fit: Array
    low: Array
    high: Array
    optimum: Optimum | None
    """None for an increasing curve, which has none to look for."""


def fit_curves(points: Sequence[Point], panels: Panels, *, resamples: int = 2000, seed: int = 0) -> list[Curve]:
    """Curves by method and policy through `points` that are within the allowance; none through a single dose."""
    if not points:
        return []
    rng = np.random.default_rng([seed, 0xC04E])
    weights = draw_weights(rng, resamples, panels.mean.clusters)
    curves = []
    for method in sorted({point.method for point in points}):
        own = [point for point in points if point.method == method and point.feasible]
        draws = _draws(own, panels, weights, rng)
        for policy in sorted({point.arm.policy for point in own}):
            chosen = [i for i, point in enumerate(own) if point.arm.policy == policy]
            if len({own[i].arm.dose for i in chosen}) > 1:
                curves.append(_curve(own, chosen, draws, len(panels.seeds)))
    return curves


def curves_frame(curves: Sequence[Curve]) -> pl.DataFrame:
    """One row a (method, policy, dose of the grid): fitted mean toxicity and its band; `shape` is how it was fitted."""
    rows = [
        (curve.method, curve.policy, curve.shape, *map(float, row))
        for curve in curves
        for row in zip(curve.doses, curve.fit, curve.low, curve.high, strict=True)
    ]
    return pl.DataFrame(rows, schema=dict(_CURVES), orient="row")


def optima_frame(curves: Sequence[Curve]) -> pl.DataFrame:
    """One row a smooth curve: the dose where it is least, what is gained over dose 0, whether the data determine it,
    and the same in `words`; `doses` counts those that were measured.
    """
    rows = [
        (curve.method, curve.policy, best.doses, best.doubt is None, best.dose, best.low, best.high, best.gain,
         best.gain_low, best.gain_high, best.words)
        for curve in curves
        if (best := curve.optimum) is not None
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=dict(_OPTIMA), orient="row")


@dataclass(frozen=True)
class _Draws:
    """Toxicity of n points: as measured [n], and drawn [b, n]."""

    values: Array
    drawn: Array


def _draws(points: Sequence[Point], panels: Panels, weights: Array, rng: np.random.Generator) -> _Draws:
    """Points that several policies share, such as dose 0, share their draws."""
    cells = sorted({panels.index(point.cell) for point in points})
    at = [cells.index(panels.index(point.cell)) for point in points]
    panel = Panel(panels.mean.numerator[cells], panels.mean.denominator[cells])
    drawn = panel.replicates(weights) + _seed_noise(panel, len(weights), rng)
    return _Draws(panel.values()[at], drawn[:, at])


def _seed_noise(panel: Panel, resamples: int, rng: np.random.Generator) -> Array:
    """What other seeds would have added [b, cells]; zero with one seed."""
    cells, seeds, _ = panel.numerator.shape
    normal = rng.standard_normal((resamples, cells))
    df = (seeds - 1) * cells
    table = per_prompt(panel)
    if df < 1 or table.shape[2] < 2:
        return np.zeros_like(normal)
    variance = max(float(two_way(table).seed.mean()), 0.0) / seeds
    return normal * np.sqrt(variance * df / rng.chisquare(df, (resamples, 1)))


def _curve(points: Sequence[Point], chosen: list[int], draws: _Draws, seeds: int) -> Curve:
    """One method under one policy."""
    chosen = sorted(chosen, key=lambda i: points[i].arm.dose)
    doses = np.array([points[i].arm.dose for i in chosen])
    values, drawn = draws.values[chosen], draws.drawn[:, chosen]
    grid = np.linspace(doses[0], doses[-1], STEPS + 1)
    weights = _weights(drawn)
    method, shape = points[chosen[0]].method, _shape(points[chosen[0]].method)
    if shape == "increasing":
        fit, fits = (np.stack([np.interp(grid, doses, isotonic_regression(row, weights=weights).x) for row in rows])
                     for rows in (values[None], drawn))  # fmt: skip
    else:
        smoother = smoothing(doses, weights, grid)
        fit, fits = values[None] @ smoother.T, drawn @ smoother.T
    low, high = np.quantile(fits, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    best = _optimum(grid, fit[0], fits, len(doses), seeds) if shape == "smooth" else None
    return Curve(method, points[chosen[0]].arm.policy, shape, tuple(doses.tolist()), grid, fit[0], low, high, best)


def _shape(method: str) -> Shape:
    return "increasing" if method == NONE else "smooth"


def _weights(drawn: Array) -> Array:
    """Inverse variances [n]; points without any spread weigh as the rest does."""
    variance = drawn.var(0)
    floor = 1e-6 * float(variance.max())
    return np.ones(len(variance)) if floor == 0 else 1 / np.maximum(variance, floor)


def smoothing(x: Array, weights: Array, grid: Array) -> Array:
    """Matrix [grid, n] that takes n values at `x` (ascending) to their natural cubic smoothing spline on `grid`.

    Its effective degrees of freedom are 3 for up to four values (as a parabola) and 4 for more: three or fewer are
    interpolated. Reinsch's form, (W + λK)⁻¹ W (Green & Silverman 1994, section 2.3).
    """
    df = min(3 if len(x) <= 4 else 4, len(x))
    scaled = (x - x[0]) / (x[-1] - x[0])
    fitted = np.eye(len(x)) if df == len(x) else _reinsch(scaled, weights / weights.mean(), df)
    return np.asarray(CubicSpline(scaled, fitted, bc_type="natural")((grid - x[0]) / (x[-1] - x[0])))


def _reinsch(x: Array, weights: Array, df: float) -> Array:
    """The smoother matrix [n, n] whose trace is `df`."""
    steps, n = np.diff(x), len(x)
    q, r = np.zeros((n, n - 2)), np.zeros((n - 2, n - 2))
    for i in range(n - 2):
        q[i : i + 3, i] = 1 / steps[i], -1 / steps[i] - 1 / steps[i + 1], 1 / steps[i + 1]
        r[i, i] = (steps[i] + steps[i + 1]) / 3
        if i + 1 < n - 2:
            r[i, i + 1] = r[i + 1, i] = steps[i + 1] / 6
    roughness = q @ np.linalg.solve(r, q.T)
    rates = np.maximum(eigh(roughness, np.diag(weights), eigvals_only=True), 0.0)
    penalty = 10 ** brentq(lambda power: (1 / (1 + 10**power * rates)).sum() - df, -12, 6)
    return np.linalg.solve(np.diag(weights) + penalty * roughness, np.diag(weights))


def _optimum(grid: Array, fit: Array, fits: Array, doses: int, seeds: int) -> Optimum:
    best = int(fit.argmin())
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(grid[fits.argmin(1)], [tail, 1 - tail], method="closest_observation")
    gain, margin = fit[0] - fit, _simultaneous(fit, fits)
    doubt = _doubt(float(grid[0]), doses, seeds)
    if doubt is None and high - low > MOST_OF_THE_RANGE * (grid[-1] - grid[0]):
        doubt = f"the least toxic dose may be anywhere from {100 * low:.3g} % to {100 * high:.3g} %"
    if doubt is None and high > 0 and not (gain - margin).max() > 0:
        doubt = "no dose is less toxic than dose 0 by its interval"
    limits = (float(gain[best]), float(gain[best] - margin[best]), float(gain[best] + margin[best]))
    return Optimum(float(grid[best]), float(low), float(high), *limits, doses, doubt)


def _doubt(first: float, doses: int, seeds: int) -> str | None:
    if first > 0:
        return "dose 0 is not within the budget, so there is nothing to compare with"
    if doses < 3:
        return "two doses show no optimum"
    return "one seed decides nothing, as the next one may differ by more" if seeds == 1 else None


def _simultaneous(fit: Array, fits: Array) -> Array:
    """Half-widths [grid] of intervals of the gain over dose 0 that hold at all doses of the curve at once (max-t)."""
    deviations = (fits[:, :1] - fits) - (fit[0] - fit)
    spread = deviations.std(0)
    standard = np.divide(np.abs(deviations), spread, out=np.zeros_like(deviations), where=spread > 0)
    return np.asarray(np.quantile(standard.max(1), LEVEL) * spread)
