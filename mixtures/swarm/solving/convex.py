"""The exact solver: a barrier method for sums of exponentials plus divergence, all replicates at once.

minimise  sum_t a_t exp(s_t·x) + penalty · KL(x, natural)   over the simplex with a floor and a cap for every component.

Newton steps on the logarithmic barrier (Boyd & Vandenberghe, Convex Optimization, 11.3). With barrier weight μ the
value is within 2·m·μ of the best, and μ falls until that is a billionth of the objective's scale.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixtures.swarm.solving.capped import Array

_FALL = 0.15
_LEVELS = 14
_NEWTON = 40
_POINT = 1e-9  # limits that leave less room than this leave one mixture


@dataclass(frozen=True)
class Exponentials:
    """Slopes [r, t, m] and amplitudes [t] of the sum, with the penalty and the limits [m]."""

    slopes: Array
    amplitudes: Array
    natural: Array
    floor: Array
    cap: Array
    penalty: float

    def terms(self, x: Array) -> Array:
        """a_t exp(s_t·x) [r, t], each replicate at its own mixture x [r, m]."""
        return self.amplitudes * np.exp(np.einsum("rtm,rm->rt", self.slopes, x))

    def value(self, x: Array) -> Array:
        """Sum with penalty [r]; x is inside the simplex."""
        return self.terms(x).sum(1) + self.penalty * (x * np.log(x / self.natural)).sum(1)

    def gradient(self, x: Array) -> Array:
        """Gradient [r, m]."""
        return np.einsum("rt,rtm->rm", self.terms(x), self.slopes) + self.penalty * (np.log(x / self.natural) + 1)

    def hessian(self, x: Array) -> Array:
        """Second derivatives [r, m, m]."""
        weighted = self.slopes * self.terms(x)[..., None]
        matrix = np.swapaxes(weighted, 1, 2) @ self.slopes
        np.einsum("rmm->rm", matrix)[...] += self.penalty / x
        return matrix

    def barrier(self, x: Array) -> Array:
        """-sum log of the distances from the limits [r]."""
        return -(np.log(x - self.floor) + np.log(self.cap - x)).sum(1)


def solve_exponentials(problem: Exponentials) -> Array:
    """The best mixture of every replicate, [r, m]."""
    replicates = len(problem.slopes)
    floor, cap = problem.floor, problem.cap
    room = (cap - floor).sum()
    if 1 - floor.sum() < _POINT or cap.sum() - 1 < _POINT:
        point = floor + (cap - floor) * (np.clip((1 - floor.sum()) / room, 0, 1) if room > 0 else 0.0)
        return np.tile(point, (replicates, 1))
    free = cap - floor > _POINT
    if not free.all():
        return _with_fixed(problem, free)
    x = np.tile(floor + (cap - floor) * (1 - floor.sum()) / room, (replicates, 1))
    scale = np.abs(problem.value(x)) + problem.penalty + 1e-12
    for level in range(_LEVELS):
        x = _centre(problem, x, scale * _FALL**level)
    return x


def _with_fixed(problem: Exponentials, free: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Array:
    """Components without room keep their floor: their part of every exponent is a factor of its amplitude.

    Their amplitudes then differ by replicate, so they enter as one more component that is held at a fixed share.
    """
    held = problem.floor[~free]
    share = held.sum()
    slopes = problem.slopes[..., free] + (problem.slopes[..., ~free] @ held)[..., None] / (1 - share)
    rest = Exponentials(
        slopes * (1 - share),
        problem.amplitudes,
        problem.natural[free],
        problem.floor[free] / (1 - share),
        problem.cap[free] / (1 - share),
        problem.penalty * (1 - share),
    )
    mixtures = np.tile(problem.floor, (len(problem.slopes), 1))
    mixtures[:, free] = solve_exponentials(rest) * (1 - share)
    return mixtures


def _centre(problem: Exponentials, x: Array, weight: Array) -> Array:
    """Newton's method on the barrier problem with weight μ [r], to the bottom."""
    for _ in range(_NEWTON):
        low, high = x - problem.floor, problem.cap - x
        gradient = problem.gradient(x) + weight[:, None] * (1 / high - 1 / low)
        matrix = problem.hessian(x)
        np.einsum("rmm->rm", matrix)[...] += weight[:, None] * (1 / low**2 + 1 / high**2)
        step = _step(matrix, gradient)
        slope = (gradient * step).sum(1)
        if (-slope <= 1e-10 * weight).all():
            break
        x = _line_search(problem, x, step, slope, weight)
    return x


def _step(matrix: Array, gradient: Array) -> Array:
    """Newton steps that keep the sum of the shares."""
    ones = np.ones_like(gradient)
    solved = np.linalg.solve(matrix, np.stack([gradient, ones], -1))
    multiplier = solved[..., 0].sum(1) / solved[..., 1].sum(1)
    return multiplier[:, None] * solved[..., 1] - solved[..., 0]


def _line_search(problem: Exponentials, x: Array, step: Array, slope: Array, weight: Array) -> Array:
    """Backtracking from the longest step that stays inside the limits."""
    room = np.where(step > 0, problem.cap - x, x - problem.floor)
    length = np.minimum(1.0, 0.99 * (room / np.maximum(np.abs(step), 1e-300)).min(1))
    start = problem.value(x) + weight * problem.barrier(x)
    for _ in range(30):
        tried = x + length[:, None] * step
        worse = problem.value(tried) + weight * problem.barrier(tried) > start + 1e-4 * length * slope + 1e-14
        if not worse.any():
            return tried
        length = np.where(worse, length / 2, length)
    return np.where(worse[:, None], x, tried)
