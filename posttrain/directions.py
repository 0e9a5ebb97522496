"""From activations of benign and toxic texts to directions that point to the benign side."""

from __future__ import annotations

from typing import Any

import numpy as np

from infra.errors import AmountError
from posttrain.methods.options import MeanArgs

Array = np.ndarray[Any, np.dtype[Any]]
_SMALLEST_EIGENVALUE = 1e-10  # of the largest; float32 rounding is some 1e-14 of it, what is singular lies below


def difference_of_means(features: Array, benign: Array, args: MeanArgs) -> Array:
    """Benign minus toxic mean, float64; `features` [n, ...], `benign` [n] bool. Raises AmountError as `mean_of`."""
    return mean_of(features[benign], args) - mean_of(features[~benign], args)


def mean_of(values: Array, args: MeanArgs) -> Array:
    """Mean over the first axis, float64; with `mean: median_of_means` the coordinates' medians of the means of
    `mean_blocks` blocks of consecutive texts (which stand in a drawn order).

    Raises AmountError where there are more blocks than texts.
    """
    if args.mean == "mean":
        return np.asarray(values.mean(0, dtype=np.float64))
    if len(values) < args.mean_blocks:
        raise AmountError(f"mean_blocks is {args.mean_blocks}, and a class has {len(values)} texts; lower it or label "
                          "more text")  # fmt: skip
    blocks = [block.mean(0, dtype=np.float64) for block in np.array_split(values, args.mean_blocks)]
    return np.asarray(np.median(blocks, 0))


def discriminants(features: Array, benign: Array, difference: Array) -> Array:
    """Linear discriminant analysis of each head: pooled within-class covariance, inverted, times the difference.

    `features` [n, heads, width], `difference` [heads, width] -> [heads, width], not of unit length. The inverse is the
    pseudo-inverse: a normalisation without parameters leaves directions in which nothing varies but rounding, and an
    ordinary solver (scikit-learn's `lsqr`) returns those.
    """
    heads = features.transpose(1, 0, 2).astype(np.float64)
    classes = [heads[:, benign], heads[:, ~benign]]
    centred = [members - members.mean(1, keepdims=True) for members in classes]
    scatter = sum(members.transpose(0, 2, 1) @ members for members in centred)
    inverse = np.linalg.pinv(scatter / (len(features) - 2), rcond=_SMALLEST_EIGENVALUE, hermitian=True)
    return np.asarray((inverse @ difference[:, :, None])[:, :, 0])


def unit(vectors: Array) -> Array:
    """Unit length along the last axis; a zero vector (a head that computes nothing) stays zero."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)


def spread_along(features: Array, directions: Array) -> Array:
    """Standard deviation of the projections; `features` [n, ..., width], `directions` [..., width] -> [...]."""
    return np.asarray(np.einsum("n...d,...d->n...", features, directions).std(0))
