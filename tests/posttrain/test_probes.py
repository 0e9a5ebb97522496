"""Per-head probes: scikit-learn's optimum, a planted direction found, and no reward for recognising a document."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from infra.errors import AmountError
from posttrain.probes import assign_folds, fit_logistic, probe_heads


def planted(n: int = 300) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Noise [2 layers, n, 3 heads, 6], and in head (1, 2) a direction that carries the label."""
    random = np.random.default_rng(0)
    direction = np.array([1.0, -2.0, 0.0, 0.5, 0.0, 1.0])
    positive = random.random(n) < 0.5
    heads = random.normal(size=(n, 2, 3, 6)).astype(np.float32).swapaxes(0, 1)
    heads[1, :, 2] += np.where(positive, 0.6, -0.6)[:, None] * direction
    return heads, positive, direction


def test_probe_recovers_a_planted_direction_and_nothing_elsewhere() -> None:
    heads, positive, direction = planted()
    probes = probe_heads(heads, positive, np.arange(len(positive)))
    assert probes.accuracy.shape == (2, 3)
    assert probes.fold_accuracy.shape == (5, 2, 3)
    assert probes.accuracy[1, 2] > 0.88
    others = np.delete(probes.accuracy.ravel(), 5)
    assert np.abs(others - 0.5).max() < 0.12
    coefficients = probes.coefficients[1, 2]
    cosine = coefficients @ direction / np.linalg.norm(coefficients) / np.linalg.norm(direction)
    assert cosine > 0.95


@pytest.mark.parametrize("separation", [0.3, 50.0])
def test_all_heads_at_once_reach_scikit_learns_optimum(separation: float) -> None:
    """Also on separable classes and on features of unlike scale, where an undamped Newton step may overshoot."""
    random = np.random.default_rng(1)
    target = (random.random(120) < 0.4).astype(np.float64)
    features = random.normal(size=(3, 120, 5)) * np.array([1.0, 100.0, 1e-3, 1.0, 1.0])
    features[:, :, 0] += separation * target
    weights, biases = fit_logistic(torch.from_numpy(features), torch.from_numpy(target))
    for head in range(3):
        mean, std = features[head].mean(0), features[head].std(0)
        reference = LogisticRegression(tol=1e-10, max_iter=10_000).fit((features[head] - mean) / std, target)
        expected = reference.coef_[0] / std
        np.testing.assert_allclose(weights[head], expected, rtol=2e-3, atol=1e-4 * np.abs(expected).max())
        assert biases[head].item() == pytest.approx((reference.intercept_ - expected @ mean)[0], rel=5e-3, abs=1e-3)


def test_more_features_than_texts_reach_the_same_optimum() -> None:
    """The residual stream of a model is wider than there are texts; one feature is constant and no text knows it."""
    random = np.random.default_rng(4)
    target = (random.random(30) < 0.5).astype(np.float64)
    features = random.normal(size=(2, 30, 70)) * random.uniform(0.1, 10, 70)
    features[:, :, 0], features[:, :, 1] = 2.0, features[:, :, 1] + target
    weights, biases = fit_logistic(torch.from_numpy(features), torch.from_numpy(target))
    for head in range(2):
        mean, std = features[head].mean(0), features[head].std(0)
        std[0] = np.inf
        reference = LogisticRegression(tol=1e-10, max_iter=10_000).fit((features[head] - mean) / std, target)
        expected = reference.coef_[0] / std
        np.testing.assert_allclose(weights[head], expected, rtol=2e-3, atol=1e-4 * np.abs(expected).max())
        assert biases[head].item() == pytest.approx((reference.intercept_ - expected @ mean)[0], rel=5e-3, abs=1e-3)


def test_a_constant_feature_gets_no_weight() -> None:
    random = np.random.default_rng(2)
    features = random.normal(size=(1, 60, 3))
    features[:, :, 1] = 4.0
    weights, _ = fit_logistic(torch.from_numpy(features), torch.from_numpy((random.random(60) < 0.5) * 1.0))
    assert weights[0, 1] == 0
    assert torch.isfinite(weights).all()


def test_documents_stay_whole_and_classes_balanced_over_folds() -> None:
    groups = np.repeat(np.arange(50), 4)
    positive = np.tile([True, True, False, False], 50)
    fold_of = assign_folds(positive, groups, 5, seed=0)
    for group in range(50):
        assert len(set(fold_of[groups == group])) == 1
    for fold in range(5):
        assert 0.4 < positive[fold_of == fold].mean() < 0.6
    assert (assign_folds(positive, groups, 5, seed=0) == fold_of).all()


def test_recognising_documents_is_not_rewarded() -> None:
    """Each document has its own direction and one label; a probe that sees half of a document would be perfect."""
    random = np.random.default_rng(3)
    groups = np.repeat(np.arange(24), 8)
    positive = np.repeat(np.arange(24) % 2 == 0, 8)
    heads = (np.eye(24)[groups] * 6 + random.normal(size=(192, 24)) * 0.1)[None, :, None].astype(np.float32)
    assert probe_heads(heads, positive, np.arange(192)).accuracy[0, 0] > 0.95
    assert probe_heads(heads, positive, groups).accuracy[0, 0] < 0.75


def test_too_few_documents_for_the_folds_are_refused() -> None:
    positive, groups = np.arange(20) < 10, np.repeat([0, 1, 2, 3], 5)
    with pytest.raises(AmountError, match="2 documents with benign text are too few for 5 folds"):
        assign_folds(positive, groups, 5, seed=0)
