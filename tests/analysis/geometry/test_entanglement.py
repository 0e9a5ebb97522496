"""Entanglement and the Welch bound, and estimators that find planted directions.

Covers analysis.geometry.estimators and analysis.geometry.names.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from analysis.geometry.entanglement import entanglement, nearest, welch_bound
from analysis.geometry.estimators import ESTIMATORS, feature_directions
from infra.errors import InputError
from posttrain.directions import unit


def simplex(width: int) -> np.ndarray:
    """Corners of a regular simplex: width + 1 unit vectors, equiangular and tight."""
    centred = np.eye(width + 1) - 1 / (width + 1)
    basis = np.linalg.svd(centred)[0][:, :width]
    return unit(centred @ basis)


def test_the_papers_value_of_the_welch_bound() -> None:
    assert welch_bound(12, 4) == pytest.approx(0.4264, abs=5e-5)
    assert welch_bound(4, 4) == 0.0


@pytest.mark.parametrize("width", [2, 3, 4, 9])
def test_a_regular_simplex_reaches_the_bound(width: int) -> None:
    assert entanglement(simplex(width)) == pytest.approx(np.full(width + 1, welch_bound(width + 1, width)))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 6), st.integers(2, 14), st.integers(0, 2**32 - 1))
def test_no_unit_vectors_lie_below_the_bound(width: int, features: int, seed: int) -> None:
    directions = unit(np.random.default_rng(seed).standard_normal((features, width)))
    found = entanglement(directions)
    assert found.max() >= welch_bound(features, width) - 1e-12
    assert (found >= 0).all() and (found <= 1).all()


def test_the_nearest_feature_whatever_its_sign() -> None:
    directions = unit(np.array([[1.0, 0.0, 0.0], [-1.0, 0.2, 0.0], [0.0, 0.3, 1.0]]))
    assert nearest(directions).tolist() == [1, 0, 1]
    assert entanglement(np.stack([directions, np.eye(3)])).shape == (2, 3)
    with pytest.raises(InputError, match="two or more"):
        entanglement(np.ones((1, 3)))


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("by_token", [False, True])
def test_estimators_find_planted_directions_of_every_model_at_once(estimator: str, by_token: bool) -> None:
    """Tokens move all activations along an axis of their own, which is no feature."""
    random = np.random.default_rng(0)
    feature, token = np.repeat(np.arange(3), 40), np.tile(np.arange(4), 30)
    planted = np.stack([np.linalg.qr(random.standard_normal((5, 5)))[0] for _ in range(2)])  # of two models
    points = 4 * planted[:, feature] + 3 * planted[:, [3]] * token[:, None] + 0.3 * random.standard_normal((2, 120, 5))
    directions = feature_directions(points, feature, token, estimator, by_token=by_token)
    assert directions.shape == (2, 3, 5)
    assert np.linalg.norm(directions, axis=-1) == pytest.approx(1.0)
    others = planted[:, :3].sum(1, keepdims=True) - planted[:, :3]
    expected = unit(planted[:, :3] - others / 2)  # from the mean of the others to the feature
    assert ((directions * expected).sum(-1) > 0.8).all()


def test_lda_is_scikit_learns_direction() -> None:
    random = np.random.default_rng(1)
    points = random.standard_normal((1, 90, 4)) * np.array([1.0, 5.0, 0.2, 1.0])
    feature = np.repeat([0, 1], 45)
    points[0, :45] += [1.0, 1.0, 0.1, 0.0]
    ours = feature_directions(points, feature, np.zeros(90), "lda", by_token=False)[0, 1]
    theirs = LinearDiscriminantAnalysis(solver="svd").fit(points[0], feature).coef_[0]
    assert ours @ theirs / np.linalg.norm(theirs) == pytest.approx(1.0, abs=1e-9)
