"""The log-linear law of Olmix (arXiv 2602.12237): y = shift + exp(c) + exp(t·p), p the shares of the components.

`shift` is 0 for a target that is always positive, as losses are, which is Olmix's law; for others (an accuracy that is
maximised, a difference) it lies ten ranges below the smallest value, which leaves the offset practically free.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from mixtures.swarm.exponentials import fit_exponentials
from mixtures.swarm.responses.base import Response

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mixtures.swarm.responses.base import Array

_STARTS = (0.02, 0.5, 0.9)
"""Offsets to start from, as shares of the smallest value (above the shift)."""


@dataclass(frozen=True)
class LogLinear(Response):
    """Offsets [r, t] (shift and exp(c) together) and slopes [r, t, m]."""

    offsets: Array
    slopes: Array
    convex = True

    @classmethod
    def fit(cls, weights: Array, values: Array, counts: Array, seed: int, workers: int = 1) -> Self:
        """One fit to all runs from several starts, then every weighting from there. Nothing is random."""
        shift, scale = _shift(values), _scale(values)
        scaled = np.ascontiguousarray(((values - shift) / scale).T)  # [t, n]
        overall = _normalised(counts.mean(0, keepdims=True))
        theta = _from_several_starts(weights, scaled, np.repeat(overall, len(scaled), 0))
        if len(counts) > 1:
            theta = _every_weighting(weights, scaled, _normalised(counts), theta)
        theta = theta.reshape(len(counts), len(scaled), -1)
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
    low, high = values.min(0), values.max(0)
    return np.where(low > 0, 0.0, low - 10 * np.where(high > low, high - low, 1.0))


def _scale(values: Array) -> Array:
    """Standard deviations as the quartiles tell them, so that one wild run does not change what counts as far off."""
    low, high = np.quantile(values, [0.25, 0.75], axis=0)
    spread = np.where(high > low, (high - low) / 1.349, values.std(0))
    return np.where(spread > 0, spread, 1.0)


def _normalised(counts: Array) -> Array:
    return counts / counts.sum(1, keepdims=True)


def _from_several_starts(weights: Array, scaled: Array, counts: Array) -> Array:
    """The best of the fits from each start, target by target: [t, 1 + m]."""
    fits = [fit_exponentials(weights, scaled, counts, _start(weights, scaled, counts, share)) for share in _STARTS]
    thetas, losses = np.stack([theta for theta, _ in fits]), np.stack([loss for _, loss in fits])
    return thetas[losses.argmin(0), np.arange(len(scaled))]


def _start(weights: Array, scaled: Array, counts: Array, share: float) -> Array:
    """Least squares for log(z - offset) at a fixed offset, weighted so that errors count as errors of z."""
    offset = np.maximum(share * scaled.min(1, keepdims=True), 1e-9)
    rest = np.maximum(scaled - offset, 1e-9)
    weight = counts * rest**2
    logs = np.log(rest)
    centre = (weight * logs).sum(1, keepdims=True) / weight.sum(1, keepdims=True)
    matrix = np.einsum("pn,ni,nj->pij", weight, weights, weights, optimize=True)
    matrix += 1e-3 * np.einsum("pii->p", matrix)[:, None, None] * np.eye(weights.shape[1]) / weights.shape[1]
    right = (weight * (logs - centre)) @ weights
    slopes = np.linalg.solve(matrix, right[..., None])[..., 0] + centre
    return np.concatenate([np.log(offset), slopes], axis=1)


def _every_weighting(weights: Array, scaled: Array, counts: Array, theta: Array) -> Array:
    """All weightings of all targets, from the fit to all runs: [r × t, 1 + m]."""
    r, t = len(counts), len(scaled)
    found, _ = fit_exponentials(weights, np.tile(scaled, (r, 1)), np.repeat(counts, t, 0), np.tile(theta, (r, 1)))
    return found
