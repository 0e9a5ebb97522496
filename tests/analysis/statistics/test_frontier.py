"""The frontier read at a budget.

Covers analysis.statistics.frontier and analysis.statistics.dose_response.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.statistics.dose_response import dose_response
from analysis.statistics.frontier import at_budget, recipe, undominated
from tests.helpers.simulated_studies import Truth, arms, study

points = st.lists(st.tuples(st.floats(2, 5), st.floats(0, 1)), min_size=1, max_size=8)


def read(measured: list[tuple[float, float]], budget: float) -> float:
    table = np.array(measured)
    return float(at_budget(table[None, :, 0], table[None, :, 1], np.array([budget])).toxicity[0])


def test_between_two_strengths_the_value_lies_on_the_line() -> None:
    assert read([(3.0, 0.4), (3.2, 0.2)], 3.05) == pytest.approx(0.35)


def test_a_dominated_point_is_never_used() -> None:
    assert read([(3.0, 0.4), (3.1, 0.5), (3.2, 0.2)], 3.1) == pytest.approx(0.3)


def test_where_nothing_is_affordable_the_cheapest_point_stands_and_says_so() -> None:
    reading = at_budget(np.array([[3.2, 3.1]]), np.array([[0.1, 0.3]]), np.array([3.0]))
    assert reading.toxicity[0] == 0.3 and not reading.feasible[0] and reading.share[0] == 0


def test_point_without_a_figure_is_never_chosen() -> None:
    assert read([(3.0, 0.4), (3.05, np.nan), (np.nan, 0.1)], 3.1) == 0.4
    assert np.isnan(read([(3.0, np.nan)], 3.1))


@settings(max_examples=200)
@given(points, st.floats(2, 5), st.floats(0, 1))
def test_more_budget_never_makes_it_worse(measured: list[tuple[float, float]], budget: float, more: float) -> None:
    assert read(measured, budget + more) <= read(measured, budget) + 1e-9


@settings(max_examples=200)
@given(points, st.floats(2, 5))
def test_value_is_no_worse_than_any_affordable_point_and_no_better_than_all(
    measured: list[tuple[float, float]], budget: float
) -> None:
    value = read(measured, budget)
    affordable = [toxicity for entropy, toxicity in measured if entropy <= budget]
    assert all(value <= toxicity + 1e-9 for toxicity in affordable)
    assert value >= min(toxicity for _, toxicity in measured) - 1e-9


@settings(max_examples=100)
@given(points)
def test_at_an_undominated_points_own_price_its_own_toxicity_is_read(measured: list[tuple[float, float]]) -> None:
    table = np.array(measured)
    for keep, (entropy, toxicity) in zip(undominated(table[:, 0], table[:, 1]), measured, strict=True):
        if keep:
            assert read(measured, entropy) == pytest.approx(toxicity)


def test_doing_nothing_is_on_the_frontier_of_every_method() -> None:
    panels = study(Truth(), np.random.default_rng(0))
    for arm in arms():
        cells = [panels.cells[i] for i in panels.frontier_cells(arm, "iti")]
        assert [cell.strength for cell in cells] == [0, 2, 4, 8] and cells[0].method == "none"


def test_recipe_mixes_figures_as_its_share_says() -> None:
    panels = study(Truth(sample_sd=0, prompt_sd=0, seed_sd=0), np.random.default_rng(0))
    entropy = panels.cross_entropy.values()
    reference = entropy[panels.frontier_cells(arms()[0], "iti")[0]]
    mixed = recipe(panels, arms()[0], "iti", panels.mean.values(), entropy, reference + 0.1)
    assert mixed.mix(panels.mean.values()) == pytest.approx(mixed.toxicity)
    assert mixed.mix(entropy) == pytest.approx(reference + 0.1)


def test_every_curve_starts_at_dose_zero_even_if_its_policy_has_no_clean_arm() -> None:
    points = dose_response(study(Truth(), np.random.default_rng(0)), 0.1, resamples=100)
    for policy in ("keep", "mask"):
        curve = [point for point in points if point.arm.policy == policy and point.method == "iti"]
        assert [point.arm.dose for point in curve] == [0.0, 0.1, 0.25]
