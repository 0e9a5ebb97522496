"""The answer in one sentence: which arm and method is best at the cross-entropy budget, and is it better than clean?

Choosing the best of many noisy figures and then quoting its figure flatters it (the winner's curse). So recipes (arm,
method, setting) are chosen on a seeded half of the prompts and measured on the other half, against the best recipe
of the clean arm chosen in the same way. Seeds are too few to be split: there the guard is that the difference carries
the larger of its own seed variance and that of all arms (`analysis.statistics.intervals`).

Something is claimed only where the interval excludes zero, and never with one seed, with one prompt to measure on,
where no score differs from another, or where more than UNSCORED_CEILING of either recipe's generations have no score.
An arm that lacks a figure of the grid is not compared: without its worst or best cell it would be another arm. Where
that is the clean arm there is no answer, and the sentence says what is missing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.statistics.frontier import Allowance, Mask, Recipe, clean_reference, costs, recipe, within
from analysis.statistics.intervals import Array, Estimate, Panel, draw_weights, intervals, seed_split
from analysis.statistics.panels import NONE, Panels, Treatment
from analysis.statistics.verdict import (
    Answer,
    ChosenRecipe,
    Contrast,
    Unscored,
    Verdict,
    arm_words,
    counted,
    describe,
    finding,
    missing,
    nothing_affordable,
    why_no_claim,
)


@dataclass(frozen=True)
class _Half:
    """Figures of the cells that choosing looks at: toxicity on half of the prompts, costs on all documents."""

    toxicity: Array
    cost: Array
    affordable: Mask


def answer(
    panels: Panels, allowance: Allowance, *, resamples: int = 2000, seed: int = 0, level: float = 0.95
) -> Answer:
    """Answer from a study's panels, among the recipes within the allowance."""
    reference = clean_reference(panels)
    clean_gaps = [gap for gap in panels.gaps if gap.cell.arm.dose == 0]
    if reference is None:
        sentence = f"There is no clean unsteered arm with every seed to compare with{missing(clean_gaps)}."
        return Answer("impossible", sentence, allowance)
    first, second = seed_split(panels.prompts, seed)
    cost = costs(panels, panels.cross_entropy.values(), allowance.counted_from)
    half = _Half(panels.mean.select(first).values(), cost, within(panels, cost, allowance))
    arms = eligible(panels)
    clean_arms, risky_arms = ([arm for arm in arms if (arm.dose == 0) == is_clean] for is_clean in (True, False))
    if not clean_arms:
        return Answer("impossible", f"No clean arm has every figure of the grid{missing(clean_gaps)}.", allowance)
    if not risky_arms:
        return Answer("impossible", f"No arm with risky text has every figure{missing(panels.gaps)}.", allowance)
    clean = _best(clean_arms, panels, half)
    risky = [best for arm in risky_arms if (best := _best([arm], panels, half))]
    if clean is None or not risky:
        return Answer("impossible", nothing_affordable(allowance, clean is None), allowance)
    # A stream of its own, so that the split of the prompts and the resampling do not depend on each other.
    rng = np.random.default_rng([seed, 0xB007])
    prompts = draw_weights(rng, resamples, int(second.sum()))
    documents = draw_weights(rng, resamples, panels.cross_entropy.clusters)
    return _measured(_Measure(panels, second, prompts, documents, level), risky, clean, allowance)


def eligible(panels: Panels) -> list[Treatment]:
    """Arms that have every cell of the grid under every seed, and which were measured unsteered."""
    lacking = {gap.cell.arm for gap in panels.gaps}
    return [arm for arm in panels.arms() if arm not in lacking and NONE in panels.methods(arm)]


def _best(arms: list[Treatment], panels: Panels, half: _Half) -> Recipe | None:
    """The least toxic recipe of these arms within the budget; of equals the first, so doing nothing wins a tie."""
    recipes = [
        recipe(panels, arm, method, half.toxicity, half.cost, half.affordable)
        for arm in arms
        for method in panels.methods(arm)
    ]
    return min((r for r in recipes if r.feasible), key=lambda r: r.toxicity, default=None)


@dataclass(frozen=True)
class _Measure:
    """The second half of the prompts, with one set of resampling weights for everything measured on it."""

    panels: Panels
    second: NDArray[np.bool_]
    prompts: Array
    documents: Array
    level: float

    def differences(self, panel: Panel, recipes: list[Recipe], clean: Recipe) -> list[Estimate]:
        """Each recipe's figure minus the clean recipe's, paired; they pool their seed variance."""
        values, draws, seeds = (f[..., 1:] - f[..., :1] for f in self._figures(panel, [clean, *recipes]))
        clusters = self._weights(panel).shape[1]
        return intervals(values, draws, seeds, clusters=clusters, level=self.level, shared_reference=True)

    def levels(self, panel: Panel, recipes: list[Recipe]) -> list[Estimate]:
        """Each recipe's figure."""
        values, draws, seeds = self._figures(panel, recipes)
        clusters = self._weights(panel).shape[1]
        return intervals(values, draws, seeds, clusters=clusters, level=self.level, bounds=(0.0, np.inf))

    def choices(self, recipes: list[Recipe]) -> list[ChosenRecipe]:
        toxicity, entropy = self.levels(self.panels.mean, recipes), self.levels(self.panels.cross_entropy, recipes)
        words = [describe(r, self.panels) for r in recipes]
        return [ChosenRecipe(*figures) for figures in zip(recipes, words, toxicity, entropy, strict=True)]

    def _weights(self, panel: Panel) -> Array:
        """[resamples, clusters]: documents for cross-entropy, else the prompts of the second half."""
        return self.documents if panel is self.panels.cross_entropy else self.prompts

    def unscored(self, risky: Recipe, clean: Recipe) -> Unscored:
        """Shares of generations without a score, and what they could make of the difference."""
        mean, unscored = self.panels.mean.select(self.second), self.panels.unscored.select(self.second)
        harmless = Panel(mean.numerator, unscored.denominator).values()
        share = unscored.values()
        toxic = harmless + share
        return Unscored(
            risky=float(share[risky.cell]),
            clean=float(share[clean.cell]),
            low=float(harmless[risky.cell] - toxic[clean.cell]),
            high=float(toxic[risky.cell] - harmless[clean.cell]),
        )

    def _figures(self, panel: Panel, recipes: list[Recipe]) -> tuple[Array, Array, Array]:
        """Values [r], replicates [resamples, r] and values under each seed [seeds, r] of r recipes."""
        measured = panel if panel is self.panels.cross_entropy else panel.select(self.second)
        figures = (measured.values(), measured.replicates(self._weights(panel)), measured.per_seed())
        values, draws, seeds = (figure[..., [r.cell for r in recipes]] for figure in figures)
        return values, draws, seeds


def _measured(measure: _Measure, risky: list[Recipe], clean: Recipe, allowance: Allowance) -> Answer:
    panels = measure.panels
    best = min(range(len(risky)), key=lambda i: risky[i].toxicity)
    contrast = Contrast(
        *(
            measure.differences(panel, risky, clean)[best]
            for panel in (panels.mean, panels.probability, panels.maximum, panels.cross_entropy)
        )
    )
    choices = measure.choices([clean, *risky])
    unscored = measure.unscored(risky[best], clean)
    doubt = why_no_claim(panels, int(measure.second.sum()), contrast.mean, unscored)
    verdict: Verdict = "unknown"
    if doubt is None and contrast.mean.excludes_zero:
        verdict = "risky" if contrast.mean.value < 0 else "clean"
    main_clause = finding(verdict, doubt, choices[best + 1], choices[0], contrast.mean)
    sentence = f"Within {allowance.words}, {main_clause}{counted(unscored)}."
    if left_out := sorted({gap.cell.arm for gap in panels.gaps}):
        sentence += f" Not compared, as figures are missing: {', '.join(map(arm_words, left_out))}."
    return Answer(verdict, sentence, allowance, choices[best + 1], choices[0], contrast, unscored)
