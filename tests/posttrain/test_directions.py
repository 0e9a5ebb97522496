"""Directions against their definitions: the pseudo-inverse spelled out, medians of block means, projections."""

from __future__ import annotations

import numpy as np
import pytest

from infra.errors import AmountError
from posttrain.directions import difference_of_means, discriminants, mean_of, spread_along, unit
from posttrain.methods.options import ItiArgs

ROBUST = ItiArgs(mean="median_of_means", mean_blocks=5)


def singular(heads: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Texts of a space in which the sum over coordinates is 0, as behind a LayerNorm without parameters."""
    random = np.random.default_rng(0)
    benign = np.arange(90) % 3 == 0
    features = random.normal(size=(90, heads, 6)) @ random.normal(size=(6, 6)) + benign[:, None, None] * 0.5
    return (features - features.mean(-1, keepdims=True)).astype(np.float32), benign


def test_discriminants_are_the_pseudo_inverse_of_the_pooled_covariance_times_the_difference() -> None:
    features, benign = singular()
    difference = difference_of_means(features, benign, ItiArgs())
    found = discriminants(features, benign, difference)
    for head in range(3):
        wide = features[:, head].astype(np.float64)
        pooled = sum((len(part) - 1) * np.cov(part.T) for part in (wide[benign], wide[~benign])) / 88
        values, vectors = np.linalg.eigh(pooled)
        assert values[0] < 1e-12 < 1e-4 < values[1]  # one direction of no variance
        inverse = sum(np.outer(vectors[:, i], vectors[:, i]) / values[i] for i in range(1, 6))
        np.testing.assert_allclose(found[head], inverse @ difference[head], rtol=1e-6)
        assert abs(found[head].sum()) < 1e-6 * np.abs(found[head]).sum()  # none of it in that direction


def test_median_of_means_is_the_median_of_the_means_of_consecutive_blocks() -> None:
    values = np.random.default_rng(1).normal(size=(23, 2, 4)).astype(np.float32)
    blocks = [values[0:5], values[5:10], values[10:15], values[15:19], values[19:23]]
    expected = np.median([block.astype(np.float64).mean(0) for block in blocks], axis=0)
    np.testing.assert_allclose(mean_of(values, ROBUST), expected)
    np.testing.assert_allclose(mean_of(values, ItiArgs()), values.astype(np.float64).mean(0))


def test_two_texts_far_out_do_not_move_the_median_of_means() -> None:
    values = np.random.default_rng(2).normal(size=(100, 3))
    values[[3, 77]] += 1e6
    assert np.abs(mean_of(values, ROBUST)).max() < 1
    assert np.abs(mean_of(values, ItiArgs())).min() > 1e4


def test_more_blocks_than_texts_are_refused() -> None:
    with pytest.raises(AmountError, match="mean_blocks is 24, and a class has 10 texts"):
        mean_of(np.zeros((10, 3)), ItiArgs(mean="median_of_means"))


def test_spread_is_the_deviation_of_projections_and_a_zero_vector_stays_zero() -> None:
    features, _ = singular()
    theta = unit(np.random.default_rng(3).normal(size=(3, 6)))
    for head in range(3):
        assert spread_along(features, theta)[head] == pytest.approx((features[:, head] @ theta[head]).std(), rel=1e-5)
    assert (unit(np.zeros((2, 4))) == 0).all()
