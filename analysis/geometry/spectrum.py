"""In how many directions activations vary."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


def effective_rank(points: Array) -> Array:
    """exp of the entropy of the singular values, taken as shares of their sum (Roy & Vetterli 2007, EUSIPCO), of
    `points` [..., n, width] about their mean -> [...]; from 1 to min(n - 1, width), and 0 where nothing varies.
    """
    centred = points.astype(np.float64) - points.mean(-2, keepdims=True, dtype=np.float64)
    values = np.linalg.svd(centred, compute_uv=False)
    total = values.sum(-1, keepdims=True)
    shares = np.divide(values, total, out=np.zeros_like(values), where=total > 0)
    entropy = -(shares * np.log(np.where(shares > 0, shares, 1.0))).sum(-1)
    return np.where(total[..., 0] > 0, np.exp(entropy), 0.0)
