"""The answer in one sentence: which arm and method is best at the cross-entropy budget, and is it better than clean?

Choosing the best of many noisy figures and then quoting its figure flatters it (the winner's curse). So recipes (arm,
method, strength) are chosen on a seeded half of the prompts and measured on the other half, against the best recipe
of the clean arm chosen in the same way. Seeds are too few to be split: there the guard is that the difference carries
the larger of its own seed variance and that of all arms (`analysis.statistics.intervals`). Something is claimed only
where the interval excludes zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from analysis.statistics.frontier import Recipe, recipe
from analysis.statistics.intervals import Array, Estimate, Panel, draw_weights, intervals, seed_split
from analysis.statistics.panels import NONE, Cell, Panels, Treatment

Verdict = Literal["risky", "clean", "unknown", "impossible"]


@dataclass(frozen=True)
class ChosenRecipe:
    """A recipe chosen on the first half of the prompts and measured on the second half."""

    recipe: Recipe
    words: str
    toxicity: Estimate
    cross_entropy: Estimate


@dataclass(frozen=True)
class Contrast:
    """Risky recipe minus clean recipe on the second half, paired: below zero, the risky one is better."""

    mean: Estimate
    probability: Estimate
    maximum: Estimate
    cross_entropy: Estimate


@dataclass(frozen=True)
class Answer:
    """The verdict, the sentence and the figures behind them (absent where the verdict is `impossible`)."""

    verdict: Verdict
    sentence: str
    budget: float
    """Nats per token that the recipes may reach: the clean unsteered arm's plus the allowance."""
    risky: ChosenRecipe | None = None
    clean: ChosenRecipe | None = None
    contrast: Contrast | None = None


@dataclass(frozen=True)
class _Half:
    """Figures of the cells that choosing looks at: toxicity on half of the prompts, cross-entropy on all documents."""

    toxicity: Array
    cross_entropy: Array
    allowance: float
    budget: float


def answer(panels: Panels, allowance: float, *, resamples: int = 2000, seed: int = 0, level: float = 0.95) -> Answer:
    """Answer from a study's panels; `allowance` is the nats per token a recipe may cost above the clean unsteered
    arm.
    """
    reference = clean_reference(panels)
    if reference is None:
        return Answer("impossible", "There is no clean unsteered arm with every seed to compare with.", float("nan"))
    first, second = seed_split(panels.prompts, seed)
    entropy = panels.cross_entropy.values()
    budget = float(entropy[panels.index(reference)]) + allowance
    half = _Half(panels.mean.select(first).values(), entropy, allowance, budget)
    arms = eligible(panels)
    clean = _best([arm for arm in arms if arm.dose == 0], panels, half)
    risky = [best for arm in arms if arm.dose > 0 and (best := _best([arm], panels, half))]
    if clean is None or not risky:
        return Answer("impossible", _nothing_affordable(allowance, clean is None), budget)
    # A stream of its own, so that the split of the prompts and the resampling do not depend on each other.
    rng = np.random.default_rng([seed, 0xB007])
    prompts = draw_weights(rng, resamples, int(second.sum()))
    documents = draw_weights(rng, resamples, panels.cross_entropy.clusters)
    return _measured(_Measure(panels, second, prompts, documents, level), risky, clean, half)


def clean_reference(panels: Panels) -> Cell | None:
    """The clean arm doing nothing: cross-entropy budgets count from it. Policy `keep` where there are several."""
    references = [
        cell
        for cell, complete in zip(panels.cells, panels.complete, strict=True)
        if cell.arm.dose == 0 and cell.method == NONE and complete
    ]
    return min(references, key=lambda cell: (cell.arm.policy != "keep", cell.arm), default=None)


def eligible(panels: Panels) -> list[Treatment]:
    """Arms all of whose cells have every seed, and which were measured unsteered."""
    broken = {cell.arm for cell, complete in zip(panels.cells, panels.complete, strict=True) if not complete}
    return [arm for arm in panels.arms() if arm not in broken and NONE in panels.methods(arm)]


def _best(arms: list[Treatment], panels: Panels, half: _Half) -> Recipe | None:
    """The least toxic recipe of these arms within the budget; of equals the first, so doing nothing wins a tie."""
    recipes = [
        recipe(panels, arm, method, half.toxicity, half.cross_entropy, half.budget)
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
        return intervals(values, draws, seeds, clusters=panel.clusters, level=self.level, shared_reference=True)

    def levels(self, panel: Panel, recipes: list[Recipe]) -> list[Estimate]:
        """Each recipe's figure."""
        values, draws, seeds = self._figures(panel, recipes)
        return intervals(values, draws, seeds, clusters=panel.clusters, level=self.level, bounds=(0.0, np.inf))

    def choices(self, recipes: list[Recipe]) -> list[ChosenRecipe]:
        toxicity, entropy = self.levels(self.panels.mean, recipes), self.levels(self.panels.cross_entropy, recipes)
        words = [describe(r, self.panels.cells) for r in recipes]
        return [ChosenRecipe(*figures) for figures in zip(recipes, words, toxicity, entropy, strict=True)]

    def _figures(self, panel: Panel, recipes: list[Recipe]) -> tuple[Array, Array, Array]:
        """Values [r], replicates [resamples, r] and values under each seed [seeds, r] of r recipes."""
        on_documents = panel is self.panels.cross_entropy
        measured = panel if on_documents else panel.select(self.second)
        weights = self.documents if on_documents else self.prompts
        cells = (measured.values(), measured.replicates(weights), measured.per_seed())
        values, draws, seeds = (np.stack([r.mix(figures) for r in recipes], -1) for figures in cells)
        return values, draws, seeds


def _measured(measure: _Measure, risky: list[Recipe], clean: Recipe, half: _Half) -> Answer:
    panels = measure.panels
    best = min(range(len(risky)), key=lambda i: risky[i].toxicity)
    contrast = Contrast(
        *(
            measure.differences(panel, risky, clean)[best]
            for panel in (panels.mean, panels.probability, panels.maximum, panels.cross_entropy)
        )
    )
    choices = measure.choices([clean, *risky])
    verdict: Verdict = "unknown" if not contrast.mean.excludes_zero else "risky" if contrast.mean.value < 0 else "clean"
    sentence = _sentence(verdict, choices[best + 1], choices[0], contrast.mean, half.allowance, len(panels.seeds))
    return Answer(verdict, sentence, half.budget, choices[best + 1], choices[0], contrast)


def describe(recipe: Recipe, cells: tuple[Cell, ...]) -> str:
    """A recipe in words, such as `10 % risky text (mask) with iti at strength 5.1`."""
    arm, steered = recipe.arm, any(cells[i].method != NONE for i in (recipe.lower, recipe.upper))
    corpus = "the clean corpus" if arm.dose == 0 else f"{100 * arm.dose:.3g} % risky text ({arm.policy})"
    return (
        f"{corpus} with {recipe.method} at strength {recipe.strength(cells):.3g}" if steered else f"{corpus} unsteered"
    )


def _sentence(
    verdict: Verdict, risky: ChosenRecipe, clean: ChosenRecipe, gap: Estimate, allowance: float, seeds: int
) -> str:
    within = f"Within {allowance:g} nats per token of the clean unsteered model"
    limits = f"{100 * gap.level:.0f} % interval {signed(gap.low)} to {signed(gap.high)}"
    only = ", for these very models: one seed says nothing of others" if seeds == 1 else ""
    best, base = (f"{c.words} (mean toxicity {c.toxicity.value:.3f})" for c in (risky, clean))
    if verdict == "risky":
        finding = f"{best} is the least toxic: {-gap.value:.3f} below the best clean arm, {base}; {limits}{only}"
    elif verdict == "clean":
        finding = f"{base} is the least toxic: the best risky arm, {best}, is {gap.value:.3f} above it; {limits}{only}"
    else:
        question = f"the data do not tell whether {best} is less toxic than the best clean arm, {base}"
        finding = f"{question}: difference {signed(gap.value)}, {limits}"
    return f"{within}, {finding}."


def _nothing_affordable(allowance: float, clean: bool) -> str:
    who = "No clean arm" if clean else "No arm with risky text"
    return f"{who} that has every seed stays within {allowance:g} nats per token of the clean unsteered model."


def signed(value: float) -> str:
    """A difference with its sign and a true minus."""
    return f"{value:+.3f}".replace("-", "−")
