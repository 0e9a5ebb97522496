"""Curves through dose-response points: their bands and the interval of the optimum cover, and what the data do not tell
is called so.

Covers analysis.statistics.curves and analysis.statistics.components.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression

from analysis.statistics.components import two_way
from analysis.statistics.curves import Curve, curves_frame, fit_curves, optima_frame, smoothing
from analysis.statistics.dose_response import dose_response
from analysis.statistics.frontier import Allowance
from analysis.statistics.panels import NONE, Panels
from tests.helpers.dose_studies import DOSES, Noise, dose_study, smile, unsteered

ALLOWANCE = Allowance(0.1)


def flat(dose: float) -> float:
    return 0.08


def rising(dose: float) -> float:
    return 0.05 + 0.4 * dose


def curves(panels: Panels, resamples: int = 200, seed: int = 0) -> dict[str, Curve]:
    points = dose_response(panels, ALLOWANCE, resamples=20, seed=seed)
    return {curve.method: curve for curve in fit_curves(points, panels, resamples=resamples, seed=seed)}


def many(
    truth: Callable[[float], float], noise: Noise, doses: Sequence[float] = DOSES, studies: int = 40
) -> list[dict[str, Curve]]:
    rng = np.random.default_rng(7)
    return [curves(dose_study(truth, noise, rng, doses), seed=i) for i in range(studies)]


@pytest.mark.parametrize("doses", [DOSES, (0.0, 0.1, 0.25)])
def test_interval_of_the_optimum_and_the_bands_cover(doses: tuple[float, ...]) -> None:
    fitted = many(smile, Noise(), doses)
    optima = [study["iti"].optimum for study in fitted]
    assert np.mean([best is not None and best.low <= 0.1 <= best.high for best in optima]) >= 0.88
    assert np.mean([best is not None and best.doubt is None for best in optima]) >= 0.7
    for method, truth in (("iti", smile), ("none", unsteered)):
        inside = [_covers(study[method], truth) for study in fitted]
        assert np.mean(inside) >= 0.88


def _covers(curve: Curve, truth: Callable[[float], float]) -> float:
    """Share of the measured doses at which the band holds the truth."""
    true = [truth(dose) for dose in curve.points]
    low, high = (np.interp(curve.points, curve.doses, limit) for limit in (curve.low, curve.high))
    return float(np.mean((low <= true) & (true <= high)))


@pytest.mark.parametrize("seeds", [2, 4])
def test_a_flat_curve_has_no_optimum(seeds: int) -> None:
    claims = [study["iti"].optimum for study in many(flat, Noise(seed=0.01, seeds=seeds), studies=50)]
    assert sum(best is not None and best.doubt is None for best in claims) <= 0.1 * 50
    doubtful = next(best for best in claims if best is not None and best.doubt)
    assert doubtful.words.startswith("not determined by these data: ")


def test_toxicity_that_rises_from_the_start_is_least_at_dose_0() -> None:
    best = [study["iti"].optimum for study in many(rising, Noise(seed=0.001, seeds=4), studies=20)]
    words = {optimum.words for optimum in best if optimum is not None and optimum.doubt is None}
    assert words == {"least toxic at dose 0: the curve is lowest there in practically all resamples"}
    assert sum(optimum is not None and optimum.doubt is None for optimum in best) >= 16


def test_clear_smile_is_put_into_words() -> None:
    fitted = curves(dose_study(lambda d: 0.1 + 9 * (d - 0.1) ** 2, Noise(seed=0.002), np.random.default_rng(0)))
    best = fitted["iti"].optimum
    assert best is not None and best.doubt is None
    assert best.low <= 0.1 <= best.high and best.high - best.low < 0.08
    assert best.gain_low < 0.09 < best.gain_high and "below dose 0" in best.words


def test_two_doses_one_seed_or_a_dose_0_beyond_the_budget_determine_nothing() -> None:
    rng = np.random.default_rng(0)
    two, one = dose_study(smile, Noise(), rng, (0.0, 0.1)), dose_study(smile, Noise(seeds=1), rng)
    late = dose_study(smile, Noise(), rng)
    points = [replace(point, feasible=point.arm.dose > 0) for point in dose_response(late, ALLOWANCE, resamples=20)]
    cases = {
        "two doses": curves(two)["iti"],
        "one seed": curves(one)["iti"],
        "nothing to compare": next(c for c in fit_curves(points, late, resamples=100) if c.method == "iti"),
    }
    for why, curve in cases.items():
        assert curve.optimum is not None and why in curve.optimum.words


def test_unsteered_curve_is_the_isotonic_regression_of_its_points() -> None:
    """Against scikit-learn's, with the same weights, on points of which two are out of order."""
    panels = dose_study(smile, Noise(seeds=2), np.random.default_rng(3))
    panels.mean.numerator[panels.cells.index(next(c for c in panels.cells if c.arm.dose == 0.1))] += 0.1
    curve = curves(panels)["none"]
    rows = [i for i, cell in enumerate(panels.cells) if cell.method == NONE]
    peer = IsotonicRegression().fit_transform(DOSES, panels.mean.values()[rows])
    at = [int(np.abs(curve.doses - dose).argmin()) for dose in DOSES]
    assert curve.fit[at] == pytest.approx(peer, abs=0.003)  # its weights are equal, ours nearly so
    assert (np.diff(curve.fit) >= -1e-12).all() and (np.diff(curve.low) >= -1e-12).all()


def test_smoother_has_the_degrees_of_freedom_it_states_and_leaves_lines_alone() -> None:
    x, weights = np.array([0.0, 0.05, 0.1, 0.15, 0.2, 0.25]), np.array([1.0, 2, 1, 3, 1, 1])
    smoother = smoothing(x, weights, x)
    assert np.trace(smoother) == pytest.approx(4, abs=1e-4)
    assert smoother @ (2 + 3 * x) == pytest.approx(2 + 3 * x)
    assert smoothing(x[:3], weights[:3], x[:3]) == pytest.approx(np.eye(3))


def test_draws_are_paired_over_doses() -> None:
    """What all doses share moves the band and not the gain."""
    steady = dose_study(smile, Noise(prompt=0.0), np.random.default_rng(1))
    common = np.random.default_rng(2).normal(0, 0.5, steady.mean.clusters)
    moved = replace(steady, mean=replace(steady.mean, numerator=steady.mean.numerator + common))
    a, b = curves(steady)["iti"], curves(moved)["iti"]
    assert a.optimum is not None and b.optimum is not None
    assert (b.high - b.low).mean() > 3 * (a.high - a.low).mean()
    assert b.optimum.gain_high - b.optimum.gain_low == pytest.approx(a.optimum.gain_high - a.optimum.gain_low, rel=0.3)


def test_components_are_unbiased() -> None:
    rng = np.random.default_rng(0)
    shape = (4000, 3, 12)
    table = rng.normal(0, 2, (4000, 3, 1)) + rng.normal(0, 3, (4000, 1, 12)) + rng.normal(0, 1, shape)
    estimates = two_way(table)
    assert estimates.seed.mean() == pytest.approx(4, rel=0.1)
    assert estimates.prompt.mean() == pytest.approx(9, rel=0.05)
    assert estimates.rest.mean() == pytest.approx(1, rel=0.05)


def test_frames_hold_the_curves_and_their_optima() -> None:
    fitted = list(curves(dose_study(smile, Noise(), np.random.default_rng(0))).values())
    frame, optima = curves_frame(fitted), optima_frame(fitted)
    assert frame.group_by("method", "policy").len().height == 2 and set(frame["shape"]) == {"increasing", "smooth"}
    assert optima.height == 1 and optima["doses"].item() == len(DOSES) and optima["words"].item()
    assert curves_frame([]).height == optima_frame([]).height == 0


def test_few_doses_leave_the_optimum_to_the_shape_of_the_curve_and_say_so() -> None:
    def deep(dose: float) -> float:
        return 0.1 + 9 * (dose - 0.1) ** 2

    few = curves(dose_study(deep, Noise(seed=0.002), np.random.default_rng(0), (0.0, 0.1, 0.2)))["iti"].optimum
    many_doses = curves(dose_study(deep, Noise(seed=0.002), np.random.default_rng(0)))["iti"].optimum
    assert few is not None and "between its 3 doses the curve's shape is assumed" in few.words
    assert many_doses is not None and "assumed" not in many_doses.words
