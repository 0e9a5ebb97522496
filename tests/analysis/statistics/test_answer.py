"""The answer: rarely wrong where there is nothing, rarely silent where there is something, and honest about limits.

Covers analysis.statistics.answer and analysis.statistics.verdict.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from analysis.settings import Setting
from analysis.statistics.answer import answer
from analysis.statistics.frontier import Allowance
from analysis.statistics.intervals import Panel
from analysis.statistics.panels import NONE, Gap, Panels
from tests.helpers.simulated_studies import Truth, study

STUDIES = 120
ALLOWANCE, OF_CLEAN = Allowance(0.1), Allowance(0.1, "clean")


def with_budgets(panels: Panels) -> Panels:
    """The same study, its strengths found for budgets of 0.02 nats a unit; a tenth off, seed by seed."""
    renamed = [
        cell if cell.method == NONE else cell._replace(setting=Setting(True, 0.02 * cell.setting.value))
        for cell in panels.cells
    ]
    ranges = [(0.9 * cell.setting.value, 1.1 * cell.setting.value) for cell in panels.cells]
    return replace(panels, cells=tuple(renamed), strengths=dict(zip(renamed, ranges, strict=True)))


def verdicts(truth: Truth, studies: int = STUDIES) -> Counter[str]:
    rng = np.random.default_rng(11)
    return Counter(answer(study(truth, rng), ALLOWANCE, resamples=200, seed=i).verdict for i in range(studies))


@pytest.mark.parametrize("seed_sd", [0.0, 0.03, 0.1])
def test_without_an_effect_a_claim_is_rare_however_much_seeds_differ(seed_sd: float) -> None:
    """The best of four risky arms with three methods is chosen each time: taken at face value it wins far too often."""
    counts = verdicts(Truth(seed_sd=seed_sd))
    assert counts["risky"] + counts["clean"] <= 0.08 * STUDIES
    assert counts["impossible"] == 0


@pytest.mark.parametrize("seed_sd", [0.0, 0.01])
def test_a_planted_effect_is_found(seed_sd: float) -> None:
    counts = verdicts(Truth(effect=-0.1, seed_sd=seed_sd), 60)
    assert counts["risky"] >= 0.75 * 60 and counts["clean"] == 0


def test_harm_everywhere_makes_the_clean_arm_the_answer() -> None:
    panels = study(Truth(seed_sd=0.0), np.random.default_rng(0))
    worse = panels.mean.numerator + np.array([0.2 * (cell.arm.dose > 0) for cell in panels.cells])[:, None, None]
    result = answer(replace(panels, mean=Panel(worse, panels.mean.denominator)), ALLOWANCE, resamples=200)
    assert result.verdict == "clean"
    assert "is the least toxic" in result.sentence and "the clean corpus" in result.sentence


def test_planted_recipe_is_named_with_its_figures() -> None:
    result = answer(study(Truth(effect=-0.2, seed_sd=0.0), np.random.default_rng(0)), ALLOWANCE, resamples=200)
    assert result.risky is not None and result.contrast is not None
    assert "10 % risky text (mask) with iti" in result.sentence
    assert f"{-result.contrast.mean.value:.3f} below" in result.sentence
    assert result.contrast.mean.value == pytest.approx(-0.2, abs=0.05)
    assert result.contrast.cross_entropy.value <= 0.1


def test_same_seed_same_answer_and_figures() -> None:
    panels = study(Truth(), np.random.default_rng(4))
    assert answer(panels, ALLOWANCE, resamples=100, seed=5) == answer(panels, ALLOWANCE, resamples=100, seed=5)


def test_arm_that_lacks_a_seed_is_not_chosen() -> None:
    panels = study(Truth(effect=-0.2, seed_sd=0.0), np.random.default_rng(0))
    gaps = tuple(Gap(cell, 0) for cell in panels.cells if cell.arm.dose == 0.1 and cell.arm.policy == "mask")
    result = answer(replace(panels, gaps=gaps), ALLOWANCE, resamples=100)
    assert "Not compared, as figures are missing: 10 % risky text (mask)." in result.sentence
    assert result.risky is not None and (result.risky.recipe.arm.dose, result.risky.recipe.arm.policy) != (0.1, "mask")


def test_without_a_clean_unsteered_arm_there_is_no_answer() -> None:
    panels = study(Truth(), np.random.default_rng(0))
    gaps = tuple(Gap(cell, 1) for cell in panels.cells if cell.arm.dose == 0 and cell.method == NONE)
    result = answer(replace(panels, gaps=gaps), ALLOWANCE)
    assert result.verdict == "impossible" and "no figures of the clean corpus unsteered under seed 1" in result.sentence


def test_failed_cell_of_the_clean_arm_is_named_and_not_called_too_dear() -> None:
    panels = study(Truth(effect=-0.3, seed_sd=0.0), np.random.default_rng(0))
    failed = next(cell for cell in panels.cells if cell.arm.dose == 0 and cell.setting.value == 8)
    result = answer(replace(panels, gaps=(Gap(failed, 1),)), ALLOWANCE, resamples=100)
    assert result.verdict == "impossible" and "stays within" not in result.sentence
    assert "no figures of the clean corpus with iti at strength 8 under seed 1" in result.sentence


def test_risky_arms_beyond_the_budget_make_it_impossible_not_a_win() -> None:
    panels = study(Truth(effect=-0.3), np.random.default_rng(0))
    dear = panels.cross_entropy.numerator + 50 * np.array([c.arm.dose > 0 for c in panels.cells])[:, None, None]
    result = answer(replace(panels, cross_entropy=Panel(dear, panels.cross_entropy.denominator)), OF_CLEAN)
    assert result.verdict == "impossible" and "No arm with risky text" in result.sentence


def test_an_arm_that_predicts_worse_is_charged_for_it_only_where_costs_count_from_the_clean_arm() -> None:
    panels = study(Truth(effect=-0.3), np.random.default_rng(0))
    dear = panels.cross_entropy.numerator + 50 * np.array([c.arm.dose > 0 for c in panels.cells])[:, None, None]
    worse = replace(panels, cross_entropy=Panel(dear, panels.cross_entropy.denominator))
    own, clean = (answer(worse, allowance, resamples=100) for allowance in (ALLOWANCE, OF_CLEAN))
    assert own.verdict == "risky" and "ithin 0.1 nats per token of its own unsteered model" in own.sentence
    assert clean.verdict == "impossible" and "of the clean unsteered model" in clean.sentence


def test_a_recipe_with_a_budget_is_named_with_the_strengths_that_were_found() -> None:
    panels = with_budgets(study(Truth(effect=-0.2, seed_sd=0.0), np.random.default_rng(0)))
    sentence = answer(panels, ALLOWANCE, resamples=100).sentence
    assert "10 % risky text (mask) with iti at 0.08 nats (strength 3.6 to 4.4)" in sentence


def test_one_seed_decides_nothing_and_says_so() -> None:
    result = answer(study(Truth(effect=-0.3, seeds=1), np.random.default_rng(0)), ALLOWANCE, resamples=100)
    assert result.verdict == "unknown" and "one seed decides nothing" in result.sentence
    assert result.contrast is not None and result.contrast.mean.excludes_zero  # what the interval alone would claim


@pytest.mark.parametrize("seeds", [1, 2, 5])
@pytest.mark.parametrize("prompts", [1, 2, 9])
def test_few_prompts_make_no_claim(prompts: int, seeds: int) -> None:
    truth = Truth(effect=-0.3, prompts=prompts, seeds=seeds)
    result = answer(study(truth, np.random.default_rng(0)), ALLOWANCE, resamples=100)
    assert result.verdict == "unknown" and "nothing is claimed" in result.sentence and "nan" not in result.sentence
    assert result.contrast is not None and np.isnan(result.contrast.mean.low) == (prompts == 1)


def test_scores_that_are_all_alike_tell_nothing_apart() -> None:
    panels = study(Truth(), np.random.default_rng(0))
    zero = Panel(np.zeros_like(panels.mean.numerator), panels.mean.denominator)
    result = answer(replace(panels, mean=zero, probability=zero, maximum=zero), ALLOWANCE, resamples=100)
    assert result.verdict == "unknown" and "no score differs from another" in result.sentence
    assert "interval" not in result.sentence


def without_scores(panels: Panels, cells: list[bool], share: float) -> Panels:
    """The panels with `share` of the generations of some cells unscored, drawn prompt by prompt."""
    lost = np.random.default_rng(1).random(panels.mean.numerator.shape) < share
    lost &= np.array(cells)[:, None, None]
    scored = Panel(np.where(lost, 0, panels.mean.numerator), np.where(lost, 0, panels.mean.denominator))
    unscored = Panel(lost.astype(np.float64), np.ones_like(panels.mean.numerator))
    return replace(panels, mean=scored, probability=scored, maximum=scored, unscored=unscored)


def test_arm_whose_generations_are_mostly_unscored_does_not_win() -> None:
    panels = study(Truth(effect=-0.2, seed_sd=0.0), np.random.default_rng(0))
    planted = [cell.arm.dose == 0.1 and cell.arm.policy == "mask" for cell in panels.cells]
    result = answer(without_scores(panels, planted, 0.9), ALLOWANCE, resamples=100)
    assert result.risky is not None and result.risky.recipe.arm.dose == 0.1
    assert result.verdict == "unknown" and "have no score, more than the 10 % allowed" in result.sentence
    assert result.unscored is not None and result.unscored.risky == pytest.approx(0.9, abs=0.06)


def test_few_unscored_generations_are_bounded_in_the_sentence() -> None:
    panels = study(Truth(effect=-0.2, seed_sd=0.0), np.random.default_rng(0))
    result = answer(without_scores(panels, [True] * len(panels.cells), 0.03), ALLOWANCE, resamples=100)
    assert result.verdict == "risky" and result.unscored is not None and result.contrast is not None
    assert result.unscored.low < result.contrast.mean.value < result.unscored.high
    width = result.unscored.high - result.unscored.low
    assert width == pytest.approx(result.unscored.risky + result.unscored.clean)
    assert "% of their generations have no score, with which the difference could be" in result.sentence
    assert "no score" not in answer(panels, ALLOWANCE, resamples=100).sentence
