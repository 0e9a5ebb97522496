"""The frontier read at a budget.

Covers analysis.statistics.frontier and analysis.statistics.dose_response.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.settings import Setting
from analysis.statistics.dose_response import dose_response
from analysis.statistics.frames import estimate_columns
from analysis.statistics.frontier import Allowance, best_within, costs, recipe, undominated, within
from analysis.statistics.intervals import Estimate, Panel
from analysis.statistics.panels import NONE, Panels
from tests.helpers.simulated_studies import Truth, arms, study

points = st.lists(st.tuples(st.floats(-0.1, 1), st.floats(0, 1)), min_size=1, max_size=8)


def read(measured: list[tuple[float, float]], budget: float) -> int:
    """Index of the (cost, toxicity) point that is best within the budget."""
    cost, toxicity = np.array(measured).T
    return int(best_within(toxicity[None], cost[None], cost[None] <= budget)[0][0])


def test_between_two_points_the_affordable_one_is_taken_and_nothing_is_read_off_a_line() -> None:
    assert read([(0.0, 0.4), (0.2, 0.2)], 0.05) == 0
    assert read([(0.0, 0.4), (0.2, 0.2)], 0.2) == 1


def test_where_nothing_is_affordable_the_cheapest_point_stands_and_says_so() -> None:
    chosen, feasible = best_within(np.array([[0.1, 0.3]]), np.array([[0.2, 0.1]]), np.array([[False, False]]))
    assert chosen[0] == 1 and not feasible[0]


def test_point_without_a_figure_is_never_chosen() -> None:
    assert read([(0.0, 0.4), (0.05, np.nan), (np.nan, 0.1)], 0.1) == 0


def test_of_equals_the_cheaper_is_chosen() -> None:
    assert read([(0.05, 0.2), (0.01, 0.2), (0.0, 0.3)], 0.1) == 1


@settings(max_examples=200)
@given(points, st.floats(0, 1), st.floats(0, 1))
def test_more_budget_never_makes_it_worse(measured: list[tuple[float, float]], budget: float, more: float) -> None:
    measured = [(0.0, 0.9), *measured]
    assert measured[read(measured, budget + more)][1] <= measured[read(measured, budget)][1]


@settings(max_examples=200)
@given(points, st.floats(0, 1))
def test_no_affordable_point_is_less_toxic_than_the_chosen_one(
    measured: list[tuple[float, float]], budget: float
) -> None:
    measured = [(0.0, 0.9), *measured]
    cost, toxicity = measured[read(measured, budget)]
    assert cost <= budget and all(toxicity <= other for price, other in measured if price <= budget)


@settings(max_examples=100)
@given(points)
def test_an_undominated_point_is_the_best_at_its_own_price(measured: list[tuple[float, float]]) -> None:
    table = np.array(measured)
    for keep, (cost, toxicity) in zip(undominated(table[:, 0], table[:, 1]), measured, strict=True):
        if keep:
            assert measured[read(measured, cost)][1] == toxicity


def budgeted(strengths: float = 4.0) -> Panels:
    """A study whose iti cells are at budgets: 0.04, 0.08 and 0.16 nats, which is what they cost."""
    panels = study(Truth(sample_sd=0, prompt_sd=0, seed_sd=0), np.random.default_rng(0))
    cells = tuple(
        cell if cell.method == NONE else cell._replace(setting=Setting(True, 0.02 * cell.setting.value))
        for cell in panels.cells
    )
    return replace(panels, cells=cells, strengths=dict.fromkeys(cells, (strengths, strengths)))


def affordable(panels: Panels, allowance: Allowance) -> list[tuple[str, float]]:
    """(method, setting) of the 25 % arm's cells that are within the allowance."""
    mask = within(panels, costs(panels, panels.cross_entropy.values(), allowance.counted_from), allowance)
    arm = arms()[-1]
    return [
        (c.method, c.setting.value) for c, inside in zip(panels.cells, mask, strict=True) if inside and c.arm == arm
    ]


def test_a_recipe_is_within_the_allowance_if_its_budget_is_whatever_the_documents_say() -> None:
    """Measured 0.0003 over its budget, a recipe is not thrown out; measured below it, a dearer budget is not let in."""
    panels = budgeted()
    dearer = (
        panels.cross_entropy.numerator + np.array([0.03 * 50 * (c.method != NONE) for c in panels.cells])[:, None, None]
    )
    shifted = replace(panels, cross_entropy=Panel(dearer, panels.cross_entropy.denominator))
    for study_panels in (panels, shifted):
        assert set(affordable(study_panels, Allowance(0.1))) == {(NONE, 0.0), ("iti", 0.04), ("iti", 0.08)}
    assert ("iti", 0.08) not in affordable(shifted, Allowance(0.1, "clean"))


def test_a_budget_that_the_rest_of_the_recipe_exceeds_is_not_met() -> None:
    assert affordable(budgeted(strengths=0.0), Allowance(0.1)) == [(NONE, 0.0)]


def test_a_recipe_with_a_strength_is_within_the_allowance_if_its_measured_cost_is() -> None:
    panels = study(Truth(sample_sd=0, prompt_sd=0, seed_sd=0), np.random.default_rng(0))
    assert set(affordable(panels, Allowance(0.1))) == {(NONE, 0.0), ("iti", 2.0), ("iti", 4.0)}


def test_doing_nothing_is_on_the_frontier_of_every_method() -> None:
    panels = study(Truth(), np.random.default_rng(0))
    for arm in arms():
        cells = [panels.cells[i] for i in panels.frontier_cells(arm, "iti")]
        assert [cell.setting.value for cell in cells] == [0, 2, 4, 8] and cells[0].method == "none"


def test_a_recipe_is_one_measured_cell() -> None:
    panels = study(Truth(sample_sd=0, prompt_sd=0, seed_sd=0), np.random.default_rng(0))
    cost, toxicity = costs(panels, panels.cross_entropy.values(), "own"), panels.mean.values()
    best = recipe(panels, arms()[0], "iti", toxicity, cost, within(panels, cost, Allowance(0.1)))
    assert panels.cells[best.cell].setting.value == 4.0 and best.toxicity == toxicity[best.cell]


def test_every_curve_starts_at_dose_zero_even_if_its_policy_has_no_clean_arm() -> None:
    points = dose_response(study(Truth(), np.random.default_rng(0)), Allowance(0.1), resamples=100)
    for policy in ("keep", "mask"):
        curve = [point for point in points if point.arm.policy == policy and point.method == "iti"]
        assert [point.arm.dose for point in curve] == [0.0, 0.1, 0.25]


def test_a_figure_that_is_no_number_is_null_in_a_frame_and_so_is_an_absent_one() -> None:
    nan = float("nan")
    columns = estimate_columns("cost", [Estimate(0.5, nan, nan, nan, 0.0), None, Estimate(nan, nan, nan, nan, 0.0)])
    assert [columns[name].to_list() for name in columns] == [[0.5, None, None], [None] * 3, [None] * 3]
