"""One diverged run: the law does not bend, the run is named and left out, and what tells nothing is said."""

from pathlib import Path

import numpy as np
import pytest

from infra.config.spec import load_spec
from mixtures.swarm.doubts import doubts_of_optimum, doubts_of_runs
from mixtures.swarm.fitting.choose import spearman
from mixtures.swarm.fitting.fit import fit_swarm, read_inputs
from mixtures.swarm.fitting.outliers import find_outliers
from mixtures.swarm.plan import plan_swarm
from mixtures.swarm.responses.log_linear import LogLinear
from mixtures.swarm.solving.optimum import EstimateInterval, Optimum, _mirrored
from mixtures.swarm.spec import SwarmSpec
from mixtures.swarm.tables import Runs
from tests.helpers.swarms import NAMES, NATURAL, law, runs, write_csv, write_swarm


def inputs_of(path: Path):
    _, spec = load_spec(path, {"swarm": lambda: SwarmSpec}, [])
    return spec, read_inputs(spec)


def spoiled(folder: Path, row: int, values) -> Path:
    """A made swarm in whose results one run has these values."""
    path = write_swarm(folder)
    results = runs(40)[1]
    results[row] = values
    write_csv(folder / "results.csv", ("loss", "toxicity"), results)
    return path


@pytest.mark.parametrize(("count", "components"), [(16, 3), (24, 5), (54, 17)])
@pytest.mark.parametrize("loss", [4.5, 9.0])
def test_one_diverged_run_does_not_bend_the_law(count, components, loss):
    for seed in range(8):
        rng = np.random.default_rng(seed)
        slopes = rng.normal(-0.3, 0.6, components)
        mixtures, fresh = (rng.dirichlet(np.ones(components), number) for number in (count, 200))
        results = 2 + np.exp(mixtures @ slopes) + rng.normal(0, 0.01, count)
        results[seed] = loss
        fitted = LogLinear.fit(mixtures, results[:, None], np.ones((1, count)), 0).predict(fresh)[0].T
        assert spearman(fitted, np.exp(fresh @ slopes)[:, None])[0] > 0.9


def test_a_diverged_accuracy_that_is_maximised_does_not_bend_it_either():
    mixtures, results = runs(40)
    accuracy = 0.9 - 0.1 * results[:, :1]
    accuracy[3] = -20.0
    fitted = LogLinear.fit(mixtures, -accuracy, np.ones((1, 40)), 0).predict(mixtures)[0].T
    rest = np.arange(40) != 3
    assert spearman(-fitted[rest], accuracy[rest])[0] > 0.95


def test_the_run_is_named_by_plan_and_left_out_of_every_fit(tmp_path):
    spec, clean = inputs_of(write_swarm(tmp_path))
    assert clean.outliers == () and len(clean.runs.index) == 40
    spec, inputs = inputs_of(spoiled(tmp_path, 4, (12.5, 30.0)))
    assert [outlier.run for outlier in inputs.outliers] == ["5"] and "5" not in inputs.runs.index
    assert any("run 5 is far off" in note for note in plan_swarm(spec).notes)
    gain = [fit_swarm(spec, swarm, 1, lambda steps: None).best.gain.value for swarm in (clean, inputs)]
    assert gain[0] == pytest.approx(gain[1], rel=0.1)


def test_noise_and_the_tail_of_the_law_are_not_called_far_off():
    for seed in range(10):
        mixtures, results = runs(40, noise=0.05, seed=seed)
        made = Runs(tuple(map(str, range(40))), NAMES, ("loss", "toxicity"), mixtures, results)
        assert find_outliers(made, np.ones(2), 30) == ()


def test_where_many_runs_miss_the_law_none_is_left_out():
    mixtures, results = runs(40)
    results[:12] += 9.0
    made = Runs(tuple(map(str, range(40))), NAMES, ("loss", "toxicity"), mixtures, results)
    assert find_outliers(made, np.ones(2), 30) == ()


@pytest.mark.parametrize("rounding", [0.0, 1e-15])
def test_a_constant_target_is_said_to_tell_nothing(tmp_path, rounding):
    path = write_swarm(tmp_path)
    constant = 3.0 + rounding * np.random.default_rng(0).standard_normal((40, 1))
    write_csv(tmp_path / "results.csv", ("loss",), constant)
    spec, inputs = inputs_of(path)
    assert any(doubt.startswith("loss: all runs have the same value, 3") for doubt in doubts_of_runs(inputs))
    best = fit_swarm(spec, inputs, 1, lambda steps: None).best
    doubts = list(doubts_of_optimum(inputs, best))
    assert any("do not tell" in doubt for doubt in doubts) and not any("extrapolated" in doubt for doubt in doubts)
    np.testing.assert_allclose(best.mixture, NATURAL, atol=1e-3)


def test_components_with_one_share_in_all_runs_are_named(tmp_path):
    path = write_swarm(tmp_path)
    write_csv(tmp_path / "mixtures.csv", NAMES, np.tile(NATURAL, (40, 1)))
    assert any("books, code, forum, web: the same share" in doubt for doubt in doubts_of_runs(inputs_of(path)[1]))


def test_only_what_prints_as_more_than_any_run_had_is_extrapolated(tmp_path):
    _, inputs = inputs_of(write_swarm(tmp_path))
    seen, interval = inputs.runs.mixtures.max(0), EstimateInterval(1.0, 0.5, 1.5)

    def doubts(share):
        mixture = np.array([share, 0.0, 0.0, 0.0])
        return list(doubts_of_optimum(inputs, Optimum(mixture, mixture, mixture, *[interval] * 3, exact=True)))

    assert doubts(seen[0] + 1e-12) == []
    assert "extrapolated" in doubts(seen[0] + 0.01)[0]


def test_an_interval_holds_its_estimate():
    for replicates in (np.linspace(1.2, 1.4, 50), np.linspace(0.6, 0.8, 50)):
        interval = _mirrored(1.0, replicates, [0.025, 0.975], 1.5)
        assert interval.low <= interval.value <= interval.high


def test_the_law_without_outliers_is_the_true_one():
    mixtures, results = runs(40, noise=0.0)
    results[7] += 6.0
    fitted = LogLinear.fit(mixtures, results, np.ones((1, 40)), 0)
    unseen, _ = runs(30, seed=5)
    np.testing.assert_allclose(fitted.predict(unseen)[0].T, law(unseen), atol=0.08)
