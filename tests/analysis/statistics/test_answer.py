"""The answer: rarely wrong where there is nothing, rarely silent where there is something, and honest about limits."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from analysis.statistics.answer import answer
from analysis.statistics.intervals import Panel
from analysis.statistics.panels import NONE, Panels
from tests.helpers.simulated_studies import Truth, study

STUDIES = 120


def verdicts(truth: Truth, studies: int = STUDIES) -> Counter[str]:
    rng = np.random.default_rng(11)
    return Counter(answer(study(truth, rng), 0.1, resamples=200, seed=i).verdict for i in range(studies))


@pytest.mark.parametrize("seed_sd", [0.0, 0.03, 0.1])
def test_without_an_effect_a_claim_is_rare_however_much_seeds_differ(seed_sd: float) -> None:
    """The best of four risky arms with three methods is chosen each time: taken at face value it wins far too often."""
    found = verdicts(Truth(seed_sd=seed_sd))
    assert found["risky"] + found["clean"] <= 0.08 * STUDIES
    assert found["impossible"] == 0


@pytest.mark.parametrize("seed_sd", [0.0, 0.01])
def test_a_planted_effect_is_found(seed_sd: float) -> None:
    found = verdicts(Truth(effect=-0.1, seed_sd=seed_sd), 60)
    assert found["risky"] >= 0.8 * 60 and found["clean"] == 0


def test_harm_everywhere_makes_the_clean_arm_the_answer() -> None:
    panels = study(Truth(seed_sd=0.0), np.random.default_rng(0))
    worse = panels.mean.numerator + np.array([0.2 * (cell.arm.dose > 0) for cell in panels.cells])[:, None, None]
    found = answer(replace(panels, mean=Panel(worse, panels.mean.denominator)), 0.1, resamples=200)
    assert found.verdict == "clean"
    assert "is the least toxic" in found.sentence and "the clean corpus" in found.sentence


def test_planted_recipe_is_named_with_its_figures() -> None:
    found = answer(study(Truth(effect=-0.2, seed_sd=0.0), np.random.default_rng(0)), 0.1, resamples=200)
    assert found.risky is not None and found.contrast is not None
    assert "10 % risky text (mask) with iti" in found.sentence
    assert f"{-found.contrast.mean.value:.3f} below" in found.sentence
    assert found.contrast.mean.value == pytest.approx(-0.2, abs=0.05)
    assert found.risky.cross_entropy.value <= found.budget + 1e-9


def test_same_seed_same_answer_and_figures() -> None:
    panels = study(Truth(), np.random.default_rng(4))
    assert answer(panels, 0.1, resamples=100, seed=5) == answer(panels, 0.1, resamples=100, seed=5)


def test_arm_that_lacks_a_seed_is_not_chosen() -> None:
    panels = study(Truth(effect=-0.2, seed_sd=0.0), np.random.default_rng(0))
    lacking = tuple(not (cell.arm.dose == 0.1 and cell.arm.policy == "mask") for cell in panels.cells)
    found = answer(replace(panels, complete=lacking), 0.1, resamples=100)
    assert found.risky is not None and (found.risky.recipe.arm.dose, found.risky.recipe.arm.policy) != (0.1, "mask")


def test_without_a_clean_unsteered_arm_there_is_no_answer() -> None:
    panels = study(Truth(), np.random.default_rng(0))
    complete = tuple(not (cell.arm.dose == 0 and cell.method == NONE) for cell in panels.cells)
    assert answer(replace(panels, complete=complete), 0.1).verdict == "impossible"


def test_risky_arms_beyond_the_budget_make_it_impossible_not_a_win() -> None:
    panels = study(Truth(effect=-0.3), np.random.default_rng(0))
    dear = panels.cross_entropy.numerator + 50 * np.array([c.arm.dose > 0 for c in panels.cells])[:, None, None]
    found = answer(replace(panels, cross_entropy=Panel(dear, panels.cross_entropy.denominator)), 0.1)
    assert found.verdict == "impossible" and "No arm with risky text" in found.sentence


def test_one_seed_is_said_to_speak_of_these_models_only() -> None:
    found = answer(study(Truth(effect=-0.3, seeds=1), np.random.default_rng(0)), 0.1, resamples=100)
    assert found.verdict == "risky" and "these very models" in found.sentence


def test_effect_must_not_hide_behind_unused_figures() -> None:
    """The estimate comes from the second half of the prompts alone: what the first half says does not enter it."""
    from analysis.statistics.intervals import seed_split

    panels: Panels = study(Truth(effect=-0.2, seed_sd=0.0), np.random.default_rng(0))
    first, _ = seed_split(panels.prompts, 0)
    shifted = panels.mean.numerator.copy()
    shifted[:, :, first] += 0.05  # the same for all cells: the choice does not change
    one = answer(panels, 0.1, resamples=100)
    two = answer(replace(panels, mean=Panel(shifted, panels.mean.denominator)), 0.1, resamples=100)
    assert one.contrast is not None and two.contrast is not None
    assert one.contrast.mean == two.contrast.mean
