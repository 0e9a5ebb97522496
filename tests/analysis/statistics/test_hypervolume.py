"""The hypervolume of a frontier is the area its points dominate, and its intervals cover.

Covers analysis.statistics.hypervolume.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.statistics.frontier import Allowance
from analysis.statistics.hypervolume import EVERY, hypervolume, reference_toxicity, volumes, volumes_frame
from analysis.statistics.intervals import Array
from analysis.statistics.panels import NONE, Gap
from tests.helpers.simulated_studies import Truth, expected, study

GRID = 20
REFERENCE = (1.0, 1.0)
ON_GRID = st.integers(0, GRID + 3).map(lambda i: i / GRID)
POINTS = st.lists(st.tuples(ON_GRID, ON_GRID), min_size=1, max_size=7)


def area(points: list[tuple[float, float]]) -> float:
    cost, toxicity = np.array(points).T
    return float(hypervolume(cost, toxicity, REFERENCE))


def by_squares(points: list[tuple[float, float]]) -> float:
    """The share of the unit square's little squares whose middle some point dominates."""
    middles = (np.arange(GRID) + 0.5) / GRID
    covered = np.zeros((GRID, GRID), dtype=bool)
    for cost, toxicity in points:
        covered |= (middles[:, None] >= cost) & (middles[None, :] >= toxicity)
    return float(covered.mean())


@settings(deadline=None)
@given(POINTS)
def test_area_is_that_of_the_dominated_squares(points: list[tuple[float, float]]) -> None:
    assert area(points) == pytest.approx(by_squares(points))


@settings(deadline=None)
@given(POINTS, st.tuples(ON_GRID, ON_GRID))
def test_another_point_never_makes_it_smaller(points: list[tuple[float, float]], more: tuple[float, float]) -> None:
    assert area([*points, more]) >= area(points) - 1e-12


@settings(deadline=None)
@given(POINTS, st.data())
def test_dominated_point_changes_nothing(points: list[tuple[float, float]], data: st.DataObject) -> None:
    cost, toxicity = data.draw(st.sampled_from(points))
    worse = (cost + data.draw(ON_GRID), toxicity + data.draw(ON_GRID))
    assert area([*points, worse]) == pytest.approx(area(points))


@pytest.mark.parametrize(("point", "expected_area"), [((0.2, 0.4), 0.8 * 0.6), ((-3.0, 0.4), 0.6), ((1.0, 0.0), 0.0),
                                                      ((np.nan, 0.1), 0.0), ((0.1, np.nan), 0.0)])  # fmt: skip
def test_cost_counts_from_nothing_and_what_is_no_number_adds_nothing(
    point: tuple[float, float], expected_area: float
) -> None:
    assert area([point]) == pytest.approx(expected_area)


def true_volume(truth: Truth, dose: float, policy: str) -> float:
    """Of the simulated studies' iti: doing nothing costs nothing, strength s costs .02 s, within .1 nats."""
    panels = study(truth, np.random.default_rng(0))
    cells = [cell for cell in panels.cells if (cell.arm.dose, cell.arm.policy) == (dose, policy)]
    cost: Array = np.array([0.02 * cell.setting.value for cell in cells])
    toxicity = np.array([expected(cell, truth) for cell in cells])
    return float(hypervolume(cost, toxicity, (0.1, 0.5))) / 0.1


@pytest.mark.parametrize("seeds", [2, 5])
def test_intervals_of_volumes_and_of_their_differences_cover(seeds: int) -> None:
    """A planted effect of −.1 in one arm's steering; 60 studies of 3 steered arms and their differences."""
    truth = Truth(effect=-0.1, seed_sd=0.01, seeds=seeds, prompts=80)
    rng, levels, differences = np.random.default_rng(5), [], []
    clean = true_volume(truth, 0.0, "keep")
    for i in range(60):
        measured = volumes(study(truth, rng), Allowance(0.1), reference=0.5, resamples=200, seed=i)
        for volume in measured:
            if volume.method != EVERY:
                continue
            true = true_volume(truth, volume.arm.dose, volume.arm.policy)
            levels.append(volume.value.low <= true <= volume.value.high)
            if volume.above_clean is not None:
                differences.append(volume.above_clean.low <= true - clean <= volume.above_clean.high)
    assert np.mean(levels) >= 0.9 and np.mean(differences) >= 0.9 and len(differences) == 4 * 60


def test_frame_says_what_volumes_count_from_and_the_clean_arm_has_no_difference_from_itself() -> None:
    panels = study(Truth(effect=-0.2, seed_sd=0.0), np.random.default_rng(0))
    measured = volumes(panels, Allowance(0.1), resamples=100)
    frame = volumes_frame(measured, Allowance(0.1))
    assert set(frame["reference"]) == {reference_toxicity(panels)} and set(frame["allowance"]) == {0.1}
    assert set(frame["method"]) == {EVERY, "iti"} and frame.height == 2 * 5
    assert frame.filter(dose=0.0)["above_clean"].null_count() == 2
    planted = frame.filter(dose=0.1, policy="mask", method=EVERY).row(0, named=True)
    assert planted["above_clean_low"] > 0


def test_arms_that_lack_a_figure_have_no_volume_and_nothing_has_one_without_a_clean_arm() -> None:
    panels = study(Truth(), np.random.default_rng(0))
    gap = Gap(next(cell for cell in panels.cells if cell.arm.dose == 0.25), 1)
    measured = volumes(replace(panels, gaps=(gap,)), Allowance(0.1), resamples=50)
    assert gap.cell.arm not in {volume.arm for volume in measured} and measured
    clean = Gap(next(cell for cell in panels.cells if cell.arm.dose == 0 and cell.method == NONE), 0)
    bereft = replace(panels, gaps=(clean,))
    assert volumes(bereft, Allowance(0.1)) == []
    assert volumes_frame([], Allowance(0.1)).height == 0
