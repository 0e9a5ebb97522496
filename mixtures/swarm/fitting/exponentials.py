"""Levenberg-Marquardt for z = exp(c) + exp(t·p), many independent problems over the same mixtures at once.

All problems share the mixtures p, so the Gauss-Newton matrices of a block of problems are one matrix product with the
mixtures' outer products: a thousand small fits cost a few large multiplications. Everything is float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

HUBER = 0.3
"""Where the loss turns from square to linear, in standard deviations of the target."""
RIDGE = 1e-7
"""Pulls slopes to their mean: it only decides what the runs leave open (a component that no run holds)."""
ITERATIONS = 100
STEP = 3.0
"""Longest step of a parameter in one iteration; they are logarithms, so this is a factor of 20."""
EXPONENT = 40.0
"""Greatest exponent: e^40 is beyond anything measured, and its square still a finite number."""
_BLOCK = 1 << 18  # numbers per array of a block, so that a block's arrays stay in the cache


@dataclass
class _Block:
    """A block of problems: values and run weights [p, n], parameters [p, 1 + m] with c first."""

    mixtures: Array
    outer: Array
    values: Array
    counts: Array
    theta: Array

    def evaluate(self, theta: Array) -> tuple[Array, Array, Array]:
        """Loss [p], residuals [p, n] and the exponentials of the mixtures [p, n]."""
        powers = np.exp(np.clip(theta[:, 1:] @ self.mixtures.T, -EXPONENT, EXPONENT))
        residuals = np.exp(theta[:, :1]) + powers - self.values
        return (
            (self.counts * huber(np.abs(residuals))).sum(1) + 0.5 * RIDGE * (_deviations(theta) ** 2).sum(1),
            residuals,
            powers,
        )

    def normal(self, theta: Array, residuals: Array, powers: Array) -> tuple[Array, Array]:
        """Gauss-Newton matrices [p, 1 + m, 1 + m] and gradients [p, 1 + m] of the reweighted squares."""
        weight = self.counts / np.maximum(1.0, np.abs(residuals) / HUBER)
        offset, m = np.exp(theta[:, 0]), self.mixtures.shape[1]
        weighted = weight * powers
        matrix = np.empty((len(theta), m + 1, m + 1))
        matrix[:, 1:, 1:] = ((weighted * powers) @ self.outer).reshape(-1, m, m) + RIDGE * (np.eye(m) - 1 / m)
        matrix[:, 0, 0] = offset**2 * weight.sum(1)
        matrix[:, 0, 1:] = matrix[:, 1:, 0] = offset[:, None] * (weighted @ self.mixtures)
        gradient = np.empty_like(theta)
        gradient[:, 0] = offset * (weight * residuals).sum(1)
        gradient[:, 1:] = (weighted * residuals) @ self.mixtures + RIDGE * _deviations(theta)
        return matrix, gradient

    def keep(self, rows: NDArray[np.bool_]) -> _Block:
        """The block of these problems only."""
        return _Block(self.mixtures, self.outer, self.values[rows], self.counts[rows], self.theta[rows])


def huber(size: Array) -> Array:
    """Huber's loss of residuals of this size."""
    return np.where(size <= HUBER, 0.5 * size * size, HUBER * (size - 0.5 * HUBER))


def fit_exponentials(mixtures: Array, values: Array, counts: Array, start: Array) -> tuple[Array, Array]:
    """Fit every problem from its start: `values`, `counts` [p, n] (counts sum to 1), `start` [p, 1 + m].

    Returns parameters [p, 1 + m] and mean Huber losses [p]. Values are in standard deviations of their target.
    """
    outer = np.ascontiguousarray((mixtures[:, :, None] * mixtures[:, None, :]).reshape(len(mixtures), -1))
    size = max(1, _BLOCK // max(1, len(mixtures)))
    theta, loss = start.copy(), np.empty(len(start))
    for first in range(0, len(start), size):
        rows = slice(first, first + size)
        theta[rows], loss[rows] = _descend(_Block(mixtures, outer, values[rows], counts[rows], start[rows].copy()))
    return theta, loss


def _descend(block: _Block) -> tuple[Array, Array]:
    """Levenberg-Marquardt with a damping of its own for every problem; those that stand still drop out."""
    thetas, losses = block.theta.copy(), np.empty(len(block.theta))
    alive = np.arange(len(block.theta))
    damping, still = np.full(len(alive), 1e-3), np.zeros(len(alive), int)
    loss, residuals, powers = block.evaluate(block.theta)
    for _ in range(ITERATIONS):
        matrix, gradient = block.normal(block.theta, residuals, powers)
        step = np.clip(_solve(matrix, gradient, damping), -STEP, STEP)
        tried, new = block.theta - step, block.evaluate(block.theta - step)
        better = new[0] <= loss
        gain = np.where(better, (loss - new[0]) / np.maximum(loss, 1e-300), 0.0)
        block.theta[better], loss[better] = tried[better], new[0][better]
        residuals[better], powers[better] = new[1][better], new[2][better]
        damping = np.clip(np.where(better, damping * 0.3, damping * 6.0), 1e-10, 1e10)
        still = np.where(gain > 1e-7, 0, still + 1)
        thetas[alive], losses[alive] = block.theta, loss
        going = still < 4
        if not going.all():
            block, alive, damping, still = block.keep(going), alive[going], damping[going], still[going]
            loss, residuals, powers = loss[going], residuals[going], powers[going]
            if not len(alive):
                break
    return thetas, losses


def _solve(matrix: Array, gradient: Array, damping: Array) -> Array:
    diagonal = np.einsum("pii->pi", matrix)  # a view: adding to it damps the matrices in place
    diagonal += damping[:, None] * diagonal + 1e-14
    return np.asarray(np.linalg.solve(matrix, gradient[..., None])[..., 0], np.float64)


def _deviations(theta: Array) -> Array:
    slopes = theta[:, 1:]
    return slopes - slopes.mean(1, keepdims=True)
