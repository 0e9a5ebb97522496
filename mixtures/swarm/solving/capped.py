"""Mixtures within limits: the simplex cut by a floor and a cap for every component."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_HALVINGS = 80


def into_limits(shares: Array, floor: Array, cap: Array) -> Array:
    """The mixtures within the limits that are nearest to positive `shares` [n, m] in Kullback-Leibler divergence.

    Such a mixture is clip(s · shares, floor, cap) with the one factor s that makes it sum to 1; log s is found by
    halving.
    """
    logs = np.log(np.maximum(shares, 1e-300))
    low, high = np.full((len(shares), 1), -800.0), np.full((len(shares), 1), 800.0)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        over = np.clip(np.exp(np.minimum(logs + middle, 50.0)), floor, cap).sum(1, keepdims=True) > 1
        low, high = np.where(over, low, middle), np.where(over, middle, high)
    clipped = np.clip(np.exp(np.minimum(logs + (low + high) / 2, 50.0)), floor, cap)
    return _exactly_one(clipped, floor, cap)


def _exactly_one(shares: Array, floor: Array, cap: Array) -> Array:
    """Give what is missing to (take what is too much from) the components in proportion to their room."""
    missing = 1 - shares.sum(1, keepdims=True)
    room = np.where(missing > 0, cap - shares, shares - floor)
    total = room.sum(1, keepdims=True)
    return shares + np.where(total > 0, missing * room / np.where(total > 0, total, 1.0), 0.0)


def cheapest(prices: Array, floor: Array, cap: Array) -> Array:
    """The mixtures within the limits of least price · share, for prices [n, m]: filled up from the cheapest."""
    order = np.argsort(prices, axis=1, kind="stable")
    room = np.take_along_axis(np.broadcast_to(cap - floor, prices.shape), order, 1)
    before = np.cumsum(room, axis=1) - room
    taken = np.clip(1 - floor.sum() - before, 0.0, room)
    above_floor = np.empty_like(prices)
    np.put_along_axis(above_floor, order, taken, 1)
    return above_floor + floor
