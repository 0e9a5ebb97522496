"""The log-linear law of Olmix (arXiv 2602.12237): y = shift + exp(c) + exp(t·p), p the shares of the components.

`shift` is 0 for a target that is always positive, as losses are, which is Olmix's law; for others (an accuracy that is
maximised, a difference) it lies ten ranges below the smallest value, which leaves the offset practically free.

One proxy that diverged must not bend the law. So half of the starts are regressions of least absolute deviations, and
of the fits from all starts the one is taken whose loss is least when no run counts for more than one that is a standard
deviation off: under Huber's loss, which grows on, a law that runs through the diverged run can win.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from mixtures.swarm.fitting.exponentials import EXPONENT, fit_exponentials, huber
from mixtures.swarm.responses.base import Array, Response

_STARTS = (0.02, 0.5, 0.9)
"""Offsets to start from, as shares of the smallest value (above the shift)."""
_WILD = 10.0
"""Values further from the median than so many standard deviations tell nothing of where offsets and shift may lie."""
_CAP = 1.0
"""Residual, in standard deviations of the target, from which runs count alike in the choice between starts."""
_ROUNDING = 1e-12  # of the values
_REWEIGHTINGS = 15
_SMALL = 0.1  # of the median residual: smaller ones weigh alike


@dataclass(frozen=True)
class LogLinear(Response):
    """Offsets [r, t] (shift and exp(c) together) and slopes [r, t, m]."""

    offsets: Array
    slopes: Array
    convex = True

    @classmethod
    @threadpool_limits.wrap(limits=1, user_api="blas")  # of small products; threads that wait for each other are slower
    def fit(cls, weights: Array, values: Array, counts: Array, seed: int, workers: int = 1) -> Self:
        """One fit to all runs from several starts, then every weighting from there. Nothing is random."""
        shift, scale = _shift(values), spread_of(values)
        scaled = np.ascontiguousarray(((values - shift) / scale).T)  # [t, n]
        overall = _normalised(counts.mean(0, keepdims=True))
        theta = _from_several_starts(weights, scaled, np.repeat(overall, len(scaled), 0))
        r, t = len(counts), len(scaled)
        if r > 1:  # every weighting of every target, [r × t, ·], from the fit to all runs
            start, run_counts = np.tile(theta, (r, 1)), np.repeat(_normalised(counts), t, 0)
            theta, _ = fit_exponentials(weights, np.tile(scaled, (r, 1)), run_counts, start)
        theta = theta.reshape(r, t, -1)
        slopes = theta[..., 1:] + np.log(scale)[:, None]  # shares sum to 1, so a factor is a sum in every slope
        return cls(shift + scale * np.exp(theta[..., 0]), slopes)

    def predict(self, weights: Array) -> Array:
        """Predictions [r, t, n]."""
        return self.offsets[..., None] + np.exp(self.slopes @ weights.T)

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Offsets and slopes."""
        return {"offsets": self.offsets, "slopes": self.slopes}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> Self:
        """The model that `arrays()` gave."""
        return cls(np.asarray(arrays["offsets"], np.float64), np.asarray(arrays["slopes"], np.float64))


def _shift(values: Array) -> Array:
    middle, reach = np.median(values, axis=0), _WILD * spread_of(values)
    tame = np.clip(values, middle - reach, middle + reach)
    low, high = tame.min(0), tame.max(0)
    return np.where(low > 0, 0.0, low - 10 * np.where(high > low, high - low, 1.0))


def spread_of(values: Array) -> Array:
    """Standard deviations as the quartiles tell them, so that one wild run does not change what counts as far off; 1
    where the values differ by rounding alone.
    """
    low, high = np.quantile(values, [0.25, 0.75], axis=0)
    least = _ROUNDING * np.abs(values).max(0)
    spread = np.where(high - low > least, (high - low) / 1.349, values.std(0))
    return np.where(spread > least, spread, 1.0)


def _normalised(counts: Array) -> Array:
    return counts / counts.sum(1, keepdims=True)


def _from_several_starts(weights: Array, scaled: Array, counts: Array) -> Array:
    """The best of the fits from each start, target by target: [t, 1 + m]."""
    starts = [start(weights, scaled, counts, share) for share in _STARTS for start in (_start, _robust_start)]
    thetas = np.stack([fit_exponentials(weights, scaled, counts, start)[0] for start in starts])
    powers = np.exp(np.minimum(thetas[..., 1:] @ weights.T, EXPONENT))
    size = np.minimum(np.abs(np.exp(thetas[..., :1]) + powers - scaled), _CAP)
    losses = (counts * huber(size)).sum(-1)
    return thetas[losses.argmin(0), np.arange(len(scaled))]


def _start(weights: Array, scaled: Array, counts: Array, share: float) -> Array:
    """Least squares for log(z - offset) at a fixed offset, weighted so that errors count as errors of z."""
    offset = np.maximum(share * scaled.min(1, keepdims=True), 1e-9)
    rest = np.maximum(scaled - offset, 1e-9)
    return np.concatenate([np.log(offset), _slopes(weights, np.log(rest), counts * rest**2)], axis=1)


def _robust_start(weights: Array, scaled: Array, counts: Array, share: float) -> Array:
    """Least absolute deviations for log(z - offset), by reweighted least squares; a value far above the others weighs
    no more than their median.
    """
    middle = np.median(scaled, axis=1, keepdims=True)
    offset = np.maximum(share * np.maximum(scaled.min(1, keepdims=True), middle - _WILD), 1e-9)
    rest = np.maximum(scaled - offset, 1e-9)
    logs = np.log(rest)
    plain = counts * np.minimum(rest, np.median(rest, axis=1, keepdims=True)) ** 2
    slopes = _slopes(weights, logs, plain)
    for _ in range(_REWEIGHTINGS):
        size = np.abs(logs - slopes @ weights.T)
        least = np.maximum(_SMALL * np.median(size, axis=1, keepdims=True), 1e-9)
        slopes = _slopes(weights, logs, plain / np.maximum(size, least))
    return np.concatenate([np.log(offset), slopes], axis=1)


def _slopes(weights: Array, logs: Array, weight: Array) -> Array:
    """Slopes [t, m] of weighted least squares for `logs` [t, n]; a little ridge pulls them to the weighted mean."""
    centre = (weight * logs).sum(1, keepdims=True) / weight.sum(1, keepdims=True)
    matrix = np.einsum("pn,ni,nj->pij", weight, weights, weights, optimize=True)
    matrix += 1e-3 * np.einsum("pii->p", matrix)[:, None, None] * np.eye(weights.shape[1]) / weights.shape[1]
    right = (weight * (logs - centre)) @ weights
    return np.asarray(np.linalg.solve(matrix, right[..., None])[..., 0] + centre, np.float64)
