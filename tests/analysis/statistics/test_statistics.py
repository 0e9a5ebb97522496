"""Intervals: coverage where the truth is known, pairing, and the seams that small samples have.

Covers analysis.statistics.intervals.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from analysis.statistics.intervals import Panel, draw_weights, intervals
from analysis.statistics.panels import NONE, UNSTEERED, Cell
from tests.helpers.simulated_studies import Truth, arms, expected, study


def panel(seeds: int = 2, clusters: int = 5, cells: int = 3) -> Panel:
    rng = np.random.default_rng(0)
    shape = (cells, seeds, clusters)
    return Panel(rng.random(shape), np.ones(shape))


def coverage(truth: Truth, studies: int) -> float:
    """Share of simulated studies in which the interval of an arm's unsteered toxicity holds the true value."""
    rng, hits, total = np.random.default_rng(3), 0, 0
    for _ in range(studies):
        panels = study(truth, rng)
        chosen = [panels.index(Cell(arm, NONE, UNSTEERED)) for arm in arms()]
        unsteered = Panel(panels.mean.numerator[chosen], panels.mean.denominator[chosen])
        weights = draw_weights(rng, 300, truth.prompts)
        estimates = intervals(
            unsteered.values(),
            unsteered.replicates(weights),
            unsteered.per_seed(),
            clusters=truth.prompts,
            interactions=unsteered.interactions(np.arange(len(chosen))),
        )
        true = [expected(panels.cells[i], truth) for i in chosen]
        hits += sum(e.low <= value <= e.high for e, value in zip(estimates, true, strict=True))
        total += len(chosen)
    return hits / total


@pytest.mark.parametrize("seed_sd", [0.0, 0.01, 0.05])
@pytest.mark.parametrize("seeds", [2, 4])
def test_interval_covers_the_truth_about_as_often_as_it_says(seed_sd: float, seeds: int) -> None:
    assert 0.91 <= coverage(Truth(seed_sd=seed_sd, seeds=seeds, prompts=60), studies=120) <= 0.995


def test_two_seeds_have_their_full_variance_and_one_degree_of_freedom() -> None:
    table = Panel(np.array([[[1.0] * 4, [3.0] * 4]]), np.ones((1, 2, 4)))
    draws = table.replicates(draw_weights(np.random.default_rng(0), 100, 4))
    (estimate,) = intervals(table.values(), draws, table.per_seed(), clusters=4)
    assert estimate.se**2 == pytest.approx(np.var([1.0, 3.0], ddof=1) / 2)
    assert estimate.high - estimate.value == pytest.approx(12.706 * estimate.se, rel=1e-3)


def test_bootstrap_variance_is_that_of_the_mean() -> None:
    table = panel(seeds=1, clusters=6, cells=1)
    draws = table.replicates(draw_weights(np.random.default_rng(0), 20_000, 6))
    assert draws.var() == pytest.approx(table.numerator[0, 0].var(ddof=1) / 6, rel=0.05)


def test_difference_of_equal_cells_is_zero_in_every_resample() -> None:
    one = panel(cells=1)
    twice = Panel(np.repeat(one.numerator, 2, 0), np.repeat(one.denominator, 2, 0))
    draws = twice.replicates(draw_weights(np.random.default_rng(1), 200, 5))
    assert np.array_equal(draws[:, 0], draws[:, 1])


def test_replicate_under_unit_weights_is_the_estimate_itself() -> None:
    table = panel()
    assert table.replicates(np.ones((1, 5)))[0] == pytest.approx(table.values())


def test_unscored_observations_change_neither_sum() -> None:
    table = panel()
    numerator, denominator = table.numerator.copy(), table.denominator.copy()
    numerator[:, :, 0] = denominator[:, :, 0] = 0
    assert Panel(numerator, denominator).values() == pytest.approx(table.numerator[:, :, 1:].mean((1, 2)))


def test_seeds_that_agree_by_luck_borrow_the_variance_of_the_others() -> None:
    seeds = np.array([[0.5, 0.5, 0.5], [0.5, 0.7, 0.3]])  # the first figure's seeds agree exactly
    draws = np.random.default_rng(0).normal(seeds.mean(0), 0.01, (500, 3))
    lucky, *_ = intervals(seeds.mean(0), draws, seeds, clusters=50)
    alone, *_ = intervals(seeds.mean(0)[:1], draws[:, :1], seeds[:, :1], clusters=50)
    assert lucky.high - lucky.low > 3 * (alone.high - alone.low)


def test_missing_seed_takes_the_mean_of_the_others_and_an_empty_cell_stays_empty() -> None:
    numerator, denominator = np.ones((2, 2, 3)), np.ones((2, 2, 3))
    numerator[0, 1] = denominator[0, 1] = 0
    numerator[1] = denominator[1] = 0
    filled = Panel(numerator, denominator).filled()
    assert filled.values()[0] == 1 and np.isnan(filled.values()[1])
    assert filled.denominator[0, 1].sum() == 3


def test_one_cluster_has_a_value_and_no_interval() -> None:
    table = panel(clusters=1)
    draws = table.replicates(draw_weights(np.random.default_rng(0), 50, 1))
    for estimate in intervals(table.values(), draws, table.per_seed(), clusters=1):
        assert np.isfinite(estimate.value) and np.isnan([estimate.low, estimate.high]).all()
        assert not estimate.excludes_zero


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=8, max_size=8), st.integers(1, 2))
@example([0.0] * 7 + [1.7e-144], 1)  # the square of whose variance is 0
def test_interval_holds_its_estimate_and_stays_in_bounds(values: list[float], seeds: int) -> None:
    numerator = np.array(values).reshape(1, seeds, -1)
    table = Panel(numerator, np.ones_like(numerator))
    weights = draw_weights(np.random.default_rng(0), 100, numerator.shape[2])
    (estimate,) = intervals(
        table.values(), table.replicates(weights), table.per_seed(), clusters=numerator.shape[2], bounds=(0.0, 1.0)
    )
    assert 0 <= estimate.low <= estimate.value + 1e-12 and estimate.value - 1e-12 <= estimate.high <= 1
