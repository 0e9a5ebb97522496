"""Directions of features, by every estimator that Li et al. 2025 (arXiv 2505.04741) may have meant.

| estimator | direction of a feature |
|---|---|
| logistic | coefficients of a logistic regression of the feature against the others |
| mass_mean | mean of its activations minus the mean of the others |
| lda | pooled within-class covariance, pseudo-inverted, times that difference |

`by_token` estimates a direction for (feature, last token) and averages the unit vectors over the vocabulary, as the
paper's remark 2 says; otherwise a feature's activations are pooled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from analysis.geometry.names import EstimatorName
from posttrain.directions import unit
from posttrain.probes import fit_logistic

Array = np.ndarray[Any, np.dtype[Any]]

_SMALLEST_EIGENVALUE = 1e-10  # of the largest, as in posttrain.directions


def feature_directions(
    activations: Array, feature: Array, token: Array, estimator: EstimatorName, *, by_token: bool, c: float = 1.0
) -> Array:
    """Unit directions [models, features, width] of `activations` [models, n, width], whose point k belongs to
    `feature[k]` and stands at the token `token[k]`; all models at once. `c` is the inverse penalty of `logistic`.
    """
    features = int(feature.max()) + 1
    if not by_token:
        return _against_others(activations, feature, range(features), estimator, c)
    total = np.zeros((len(activations), features, activations.shape[2]))
    for symbol in np.unique(token):
        here = token == symbol
        present = np.unique(feature[here])
        if len(present) > 1:  # one feature alone is told from nothing
            total[:, present] += _against_others(activations[:, here], feature[here], present, estimator, c)
    return unit(total)


def _against_others(activations: Array, feature: Array, members: Any, estimator: EstimatorName, c: float) -> Array:
    """Unit directions [models, members, width], a feature against all the others."""
    models, _, width = activations.shape
    member = feature[None, :] == np.asarray(members)[:, None]
    problems = np.repeat(activations.astype(np.float64), len(member), axis=0)
    vectors = ESTIMATORS[estimator](problems, np.tile(member, (models, 1)), c)
    return unit(vectors.reshape(models, len(member), width))


def _logistic(points: Array, member: Array, c: float) -> Array:
    """[h, n, width], [h, n] bool -> coefficients [h, width]."""
    return np.asarray(fit_logistic(torch.from_numpy(points), torch.from_numpy(member.astype(np.float64)), c)[0])


def _mass_mean(points: Array, member: Array, c: float) -> Array:
    """The same shapes; difference of the means."""
    inside, outside = _means(points, member)
    return np.asarray(inside - outside)


def _lda(points: Array, member: Array, c: float) -> Array:
    """The same shapes; what varies in no class gets no weight."""
    inside, outside = _means(points, member)
    centred = points - np.where(member[:, :, None], inside[:, None], outside[:, None])
    within = centred.swapaxes(1, 2) @ centred / (points.shape[1] - 2)
    inverse = np.linalg.pinv(within, rcond=_SMALLEST_EIGENVALUE, hermitian=True)
    return np.asarray((inverse @ (inside - outside)[:, :, None])[:, :, 0])


def _means(points: Array, member: Array) -> tuple[Array, Array]:
    """Means [h, width] of a problem's members and of the rest."""
    weights = np.stack([member, ~member]).astype(np.float64)
    inside, outside = np.einsum("shn,hnd->shd", weights / weights.sum(2, keepdims=True), points)
    return inside, outside


ESTIMATORS: dict[EstimatorName, Callable[[Array, Array, float], Array]] = {
    "logistic": _logistic,
    "mass_mean": _mass_mean,
    "lda": _lda,
}
