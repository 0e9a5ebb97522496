"""How often a recipe is named over resamples: always where it is far better, seldom where many are equal.

Covers analysis.statistics.stability.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from analysis.statistics.frontier import Allowance
from analysis.statistics.intervals import Panel, draw_weights
from analysis.statistics.panels import NONE, Gap
from analysis.statistics.stability import resampled, stability, stability_frame
from tests.helpers.simulated_studies import Truth, study

ALLOWANCE = Allowance(0.3)


def test_a_recipe_far_better_than_all_others_is_always_named() -> None:
    panels = study(Truth(effect=-0.3, seed_sd=0.0), np.random.default_rng(0))
    measured = stability(panels, ALLOWANCE)
    assert measured is not None and measured.whole is not None
    assert measured.whole.words.startswith("10 % risky text (mask) with iti")
    assert sum(name.share for name in measured.risky if "10 % risky text (mask)" in name.words) == pytest.approx(1)
    assert "resamples of prompts and seeds" in measured.sentence


def test_equal_arms_share_the_resamples() -> None:
    """Four risky arms are equal at their highest strength: one that is named always would be noise taken for choice."""
    rng = np.random.default_rng(1)
    measured = [stability(study(Truth(seed_sd=0.0, prompts=60), rng), ALLOWANCE, seed=i) for i in range(20)]
    shares = [one.risky[0].share for one in measured if one is not None]
    recipes = [len(one.risky) for one in measured if one is not None]
    assert np.mean(shares) < 0.75 and np.mean(recipes) >= 3


def test_spread_of_a_resampled_figure_is_its_standard_error() -> None:
    """Halves of the prompts and n − 1 of n seeds: exact but for the noise of a seed with a prompt, counted thrice."""
    rng = np.random.default_rng(2)
    drawn = rng.normal(0, 1, (40, 4, 30)) + rng.normal(0, 1, (40, 1, 30)) + 0.3 * rng.normal(0, 1, (40, 4, 1))
    halves = np.stack([rng.permutation(np.repeat([0.0, 1.0], 15)) for _ in range(1000)])
    figures = resampled(Panel(drawn, np.ones_like(drawn)), halves, draw_weights(rng, 1000, 4))
    expected = 3 / (4 * 30) + 1 / 30 + 0.09 / 4
    assert figures.var(0).mean() == pytest.approx(expected, rel=0.15)


def test_seeds_that_disagree_make_a_choice_unstable_that_prompts_alone_would_not() -> None:
    panels = study(Truth(effect=-0.05, seed_sd=0.0, sample_sd=0.02, seeds=2), np.random.default_rng(0))
    shift = np.zeros((len(panels.cells), 2, 1))
    for i, cell in enumerate(panels.cells):
        if cell.arm.dose == 0.1 and cell.arm.policy == "mask":
            shift[i] = [[-0.2], [0.3]]
    moved = replace(panels, mean=Panel(panels.mean.numerator + shift, panels.mean.denominator))
    steady, unsteady = stability(panels, ALLOWANCE), stability(moved, ALLOWANCE)
    assert steady is not None and unsteady is not None
    assert steady.risky[0].share == 1 and unsteady.risky[0].share < 0.8


def test_frame_holds_both_sides_and_its_shares_add_up() -> None:
    measured = stability(study(Truth(), np.random.default_rng(3)), ALLOWANCE)
    frame = stability_frame(measured)
    assert frame.columns == ["side", "recipe", "share"]
    assert set(frame["side"]) == {"risky", "clean"}
    for _, side in frame.group_by("side"):
        assert side["share"].sum() == pytest.approx(1) and side["share"].is_sorted(descending=True)


def test_what_the_allowance_excludes_or_what_lacks_a_figure_is_never_named() -> None:
    panels = study(Truth(effect=-0.3), np.random.default_rng(0))
    planted = next(cell for cell in panels.cells if cell.arm.dose == 0.1 and cell.arm.policy == "mask")
    lacking = stability(replace(panels, gaps=(Gap(planted, 0),)), ALLOWANCE)
    assert lacking is not None and not any("10 % risky text (mask)" in name.words for name in lacking.risky)
    poor = stability(panels, Allowance(0.01))
    assert poor is not None and all(name.words.endswith("unsteered") for name in (*poor.risky, *poor.clean))
    none = stability(panels, Allowance(-1.0))
    assert none is not None and none.whole is None and "none is named" in none.sentence
    clean = Gap(next(cell for cell in panels.cells if cell.arm.dose == 0 and cell.method == NONE), 0)
    assert stability(replace(panels, gaps=(clean,)), ALLOWANCE) is None and stability_frame(None).height == 0


def test_same_seed_same_shares() -> None:
    panels = study(Truth(), np.random.default_rng(4))
    assert stability(panels, ALLOWANCE, seed=5) == stability(panels, ALLOWANCE, seed=5)
