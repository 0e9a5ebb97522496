"""Response models: the law finds itself again, many weightings at once equal one at a time, arrays hold the whole.

Covers mixtures.swarm.responses.base, mixtures.swarm.responses.log_linear, mixtures.swarm.responses.trees and
mixtures.swarm.fitting.exponentials.
"""

import numpy as np
import pytest

from mixtures.swarm.fitting.choose import choose, cross_validate, spearman
from mixtures.swarm.responses import RESPONSES
from mixtures.swarm.responses.log_linear import LogLinear
from tests.helpers.swarms import OFFSETS, SLOPES, law, runs


def test_the_law_is_recovered_from_its_own_values():
    mixtures, results = runs(40, noise=0.0)
    fitted = LogLinear.fit(mixtures, results, np.ones((1, 40)), 0)
    np.testing.assert_allclose(fitted.offsets[0], OFFSETS, atol=2e-3)
    np.testing.assert_allclose(fitted.slopes[0], SLOPES, atol=2e-3)
    unseen, _ = runs(30, seed=5)
    np.testing.assert_allclose(fitted.predict(unseen)[0].T, law(unseen), atol=1e-4)


def test_many_weightings_at_once_equal_each_alone():
    mixtures, results = runs(40, noise=0.02)
    counts = np.random.default_rng(0).dirichlet(np.ones(40), 6) * 40
    together = LogLinear.fit(mixtures, results, counts, 0).predict(mixtures)
    for row in range(6):
        alone = LogLinear.fit(mixtures, results, counts[row : row + 1], 0).predict(mixtures)[0]
        np.testing.assert_allclose(together[row], alone, atol=2e-3)


def test_a_run_of_weight_zero_has_no_say():
    mixtures, results = runs(40, noise=0.02)
    spoiled = results.copy()
    spoiled[7] += 5.0
    counts = np.ones((1, 40))
    counts[0, 7] = 0
    rest = np.arange(40) != 7
    without = LogLinear.fit(mixtures[rest], results[rest], np.ones((1, 39)), 0).predict(mixtures)
    ignored = LogLinear.fit(mixtures, spoiled, counts, 0).predict(mixtures)
    np.testing.assert_allclose(ignored, without, atol=5e-3)


def test_values_below_zero_and_constants_have_fits_too():
    mixtures, results = runs(40, noise=0.0)
    flipped = np.stack([-results[:, 0], np.full(40, 3.0), results[:, 0] - 10], axis=1)
    predicted = LogLinear.fit(mixtures, flipped, np.ones((1, 40)), 0).predict(mixtures)[0].T
    assert np.isfinite(predicted).all()
    assert spearman(predicted, flipped)[0] > 0.98
    np.testing.assert_allclose(predicted[:, 1], 3.0, atol=0.05)
    np.testing.assert_allclose(predicted[:, 2], flipped[:, 2], atol=0.05)


@pytest.mark.parametrize("name", RESPONSES.names())
def test_the_kept_arrays_are_the_whole_model(name, tmp_path):
    mixtures, results = runs(40)
    fitted = RESPONSES.get(name).fit(mixtures, results, np.ones((1, 40)), 3)
    np.savez(tmp_path / "model.npz", **fitted.arrays())
    with np.load(tmp_path / "model.npz", allow_pickle=False) as stored:
        restored = RESPONSES.get(name).from_arrays(dict(stored))
    np.testing.assert_array_equal(restored.predict(mixtures), fitted.predict(mixtures))


def test_our_walk_through_the_trees_is_scikit_learns(monkeypatch):
    import sklearn.ensemble

    made = []
    original = sklearn.ensemble.GradientBoostingRegressor.fit

    def remembered(self, *arguments, **options):
        made.append(self)
        return original(self, *arguments, **options)

    monkeypatch.setattr(sklearn.ensemble.GradientBoostingRegressor, "fit", remembered)
    mixtures, results = runs(40)
    counts = np.random.default_rng(0).dirichlet(np.ones(40), 1) * 40
    fitted = RESPONSES.get("trees").fit(mixtures, results, counts, 0)
    unseen, _ = runs(60, seed=9)
    for column, model in enumerate(made):
        np.testing.assert_allclose(fitted.predict(unseen)[0, column], model.predict(unseen), rtol=1e-10)


def test_cross_validation_prefers_the_law_where_the_law_holds_and_trees_where_it_cannot():
    rng = np.random.default_rng(0)
    mixtures = rng.dirichlet(np.ones(4), 90)
    steps = 1.0 * (mixtures[:, 0] > 0.2) + 2.0 * (mixtures[:, 1] > 0.3) * (mixtures[:, 0] < 0.2)
    results = np.stack([law(mixtures)[:, 0], 1 + steps], axis=1)
    validations = [cross_validate(mixtures, results, name, 3, 0, 1) for name in ("log_linear", "trees")]
    assert choose(validations) == ["log_linear", "trees"]


def test_no_run_is_predicted_by_a_model_that_saw_it():
    mixtures, results = runs(40, noise=0.0)
    spoiled = results.copy()
    spoiled[5] += 5.0
    own = [cross_validate(mixtures, table, "log_linear", 4, 0, 1).predicted[5] for table in (results, spoiled)]
    np.testing.assert_allclose(own[0], own[1], atol=0.02)


def test_rank_correlation_is_scipys_and_zero_for_a_constant():
    from scipy.stats import spearmanr

    rng = np.random.default_rng(0)
    first, second = np.round(rng.normal(size=(30, 2)), 1), np.round(rng.normal(size=(30, 2)), 1)
    expected = [spearmanr(first[:, column], second[:, column]).statistic for column in (0, 1)]
    np.testing.assert_allclose(spearman(first, second), expected)
    assert spearman(np.ones((30, 1)), first[:, :1])[0] == 0
