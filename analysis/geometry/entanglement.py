"""How far unit vectors that stand for features lie from being told apart, and the least that geometry allows.

Li et al. 2025 (arXiv 2505.04741), section 2: N features are unit vectors in M dimensions, N > M; the entanglement of
one is E_i = max over j != i of |v_i . v_j|.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from infra.errors import InputError

Array = np.ndarray[Any, np.dtype[Any]]


def entanglement(directions: Array) -> Array:
    """E_i of unit vectors `directions` [..., features, width] -> [..., features], in [0, 1]."""
    return np.asarray(overlaps(directions).max(-1))


def nearest(directions: Array) -> Array:
    """Index of the feature that a feature is most entangled with; [..., features, width] -> [..., features]."""
    return np.asarray(overlaps(directions).argmax(-1))


def overlaps(directions: Array) -> Array:
    """|v_i . v_j| [..., features, features], and -1 for a feature with itself. Raises InputError for fewer than two."""
    features = directions.shape[-2]
    if features < 2:
        raise InputError("one feature is entangled with none: entanglement takes two or more")
    # Rounding takes the product of two equal unit vectors above 1.
    products = np.minimum(np.abs(directions @ directions.swapaxes(-1, -2)), 1.0)
    products[..., np.arange(features), np.arange(features)] = -1.0
    return np.asarray(products)


def welch_bound(features: int, width: int) -> float:
    """The least that the largest entanglement of `features` unit vectors in `width` dimensions can be,
    sqrt((N - M) / (M (N - 1))) (Welch 1974); 0 where they can all be orthogonal. Equiangular tight frames reach it.
    """
    if features <= width:
        return 0.0
    return float(np.sqrt((features - width) / (width * (features - 1))))
