"""The answer in one sentence: which arm and method is best at the cross-entropy budget, and is it better than clean?

The recipe that is named (arm, method, setting) is the least toxic within the budget on all data, beside the best recipe
of the clean arm. Their difference is that of choosing so: recipes are chosen on noisy copies of the figures and
measured on copies that know nothing of the first (`analysis.statistics.selection`), with seeds, prompts and their
interaction in the noise (`analysis.statistics.crossed`). Beside it stands the named recipe's own difference with an
interval that holds for all risky recipes together (`analysis.statistics.simultaneous`).

Something is claimed only where both intervals exclude zero, and never with one seed, with fewer than FEWEST_PROMPTS,
where no score differs from another, or where more than UNSCORED_CEILING of either recipe's generations have no score.
An arm that lacks a figure of the grid is not compared: without its worst or best cell it would be another arm. Where
that is the clean arm there is no answer, and the sentence says what is missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.statistics.crossed import Crossed, crossed
from analysis.statistics.frontier import Allowance, Mask, Recipe, clean_reference, costs, recipe, within
from analysis.statistics.intervals import Array, Estimate, Panel
from analysis.statistics.panels import NONE, Panels, Treatment
from analysis.statistics.selection import Selection, measured, select
from analysis.statistics.simultaneous import simultaneous
from analysis.statistics.verdict import (
    Answer,
    ChosenRecipe,
    Comparison,
    Contrast,
    Cost,
    Share,
    Unscored,
    arm_words,
    cell_words,
    describe,
    missing,
    nothing_affordable,
    sentence_of,
    verdict_of,
    why_no_claim,
)

_MEAN, _ENTROPY = 0, 3
"""Where the panels of a `_Study` are."""


def answer(
    panels: Panels, allowance: Allowance, *, resamples: int = 2000, seed: int = 0, level: float = 0.95
) -> Answer:
    """Answer from a study's panels, among the recipes within the allowance; `resamples` are the noisy copies."""
    clean_gaps = [gap for gap in panels.gaps if gap.cell.arm.dose == 0]
    if clean_reference(panels) is None:
        sentence = f"There is no clean unsteered arm with every seed to compare with{missing(clean_gaps)}."
        return Answer("impossible", sentence, allowance)
    arms = eligible(panels)
    clean_arms, risky_arms = ([arm for arm in arms if (arm.dose == 0) == is_clean] for is_clean in (True, False))
    if not clean_arms:
        return Answer("impossible", f"No clean arm has every figure of the grid{missing(clean_gaps)}.", allowance)
    if not risky_arms:
        return Answer("impossible", f"No arm with risky text has every figure{missing(panels.gaps)}.", allowance)
    cost = costs(panels, panels.cross_entropy.values(), allowance.counted_from)
    affordable = within(panels, cost, allowance)
    clean = _best(clean_arms, panels, cost, affordable)
    risky = [best for arm in risky_arms if (best := _best([arm], panels, cost, affordable))]
    if clean is None or not risky:
        return Answer("impossible", nothing_affordable(allowance, clean is None), allowance)
    return _answered(_study(panels, arms, affordable, allowance, resamples, seed, level), risky, clean)


def eligible(panels: Panels) -> list[Treatment]:
    """Arms that have every cell of the grid under every seed, and which were measured unsteered."""
    lacking = {gap.cell.arm for gap in panels.gaps}
    return [arm for arm in panels.arms() if arm not in lacking and NONE in panels.methods(arm)]


def _best(arms: list[Treatment], panels: Panels, cost: Array, affordable: Mask) -> Recipe | None:
    """The least toxic recipe of these arms within the budget; of equals the first, so doing nothing wins a tie."""
    toxicity = panels.mean.values()
    recipes = [
        recipe(panels, arm, method, toxicity, cost, affordable) for arm in arms for method in panels.methods(arm)
    ]
    return min((r for r in recipes if r.feasible), key=lambda r: r.toxicity, default=None)


@dataclass(frozen=True)
class _Study:
    """The arms that are compared, as a grid of cells, with their joint errors and what is chosen under these."""

    panels: Panels
    allowance: Allowance
    grid: NDArray[np.intp]
    """Index of the cell in the panels [arms, settings]; doing nothing comes first."""
    crossed: Crossed
    errors: list[Array]
    rng: np.random.Generator
    risky: NDArray[np.intp]
    """Affordable cells of risky arms, as the grid counts them."""
    clean: NDArray[np.intp]
    level: float

    def position(self, cell: int) -> int:
        """Where in the grid a cell of the panels is."""
        return int(np.flatnonzero(self.grid.ravel() == cell)[0])

    def choices(self) -> tuple[Selection, Selection]:
        """What is chosen on the noisy copies of the risky and of the clean arms."""
        values, errors = self.crossed.panels[_MEAN].values, self.errors[_MEAN]
        return select(values, errors, self.risky), select(values, errors, self.clean)

    def contrast(self, risky: Selection, clean: Selection) -> Contrast:
        errors = enumerate(self.errors)
        return Contrast(*(measured(e, self.crossed, i, risky, clean, level=self.level) for i, e in errors))

    def chosen(self, best: Recipe, choice: Selection) -> ChosenRecipe:
        """The named recipe, with the figures of choosing in this way."""
        toxicity, entropy = (
            measured(self.errors[i], self.crossed, i, choice, level=self.level, lowest=0.0) for i in (_MEAN, _ENTROPY)
        )
        share = choice.share(self.position(best.cell))
        words, others = describe(best, self.panels), self._shares(choice)
        return ChosenRecipe(best, words, toxicity, entropy, share, others, self._cost(best))

    def _shares(self, choice: Selection) -> tuple[Share, ...]:
        """Every recipe that is ever chosen."""
        places, counts = np.unique(choice.picks, return_counts=True)
        order = np.lexsort((places, -counts))
        cells, shares = self.grid.ravel()[places[order]].tolist(), (counts[order] / len(choice.picks)).tolist()
        return tuple(
            Share(cell, cell_words(self.panels.cells[cell], self.panels), share)
            for cell, share in zip(cells, shares, strict=True)
        )

    def comparisons(self, risky: Sequence[Recipe], clean: Recipe) -> list[Comparison]:
        """The best recipe of every risky arm against the best clean one, with limits that hold for all recipes."""
        base, ours = self.position(clean.cell), self.risky
        contrasts = _contrasts(self.grid.size, ours, base)
        errors, values = self.errors[_MEAN], self.crossed.panels[_MEAN].values
        variances, df = self.crossed.variances(_MEAN, contrasts)
        apart = errors[:, ours] - errors[:, [base]]
        together = simultaneous(values[ours] - values[base], variances, df, apart, self.rng, self.level)
        rows = {self.position(r.cell): r for r in risky}
        return [
            Comparison(rows[at], describe(rows[at], self.panels), together.estimates[i],
                       float(together.max_t[i]), float(together.holm[i]), len(ours))
            for i, at in enumerate(ours.tolist()) if at in rows
        ]  # fmt: skip

    def _cost(self, best: Recipe) -> Cost | None:
        """What the named recipe costs on the held-out documents; None where its reference is not compared."""
        at = self.position(best.cell)
        if self.allowance.counted_from == "own":
            base = at - at % self.grid.shape[1]
        else:
            reference = clean_reference(self.panels)
            if reference is None or self.panels.index(reference) not in self.grid:
                return None
            base = self.position(self.panels.index(reference))
        if at == base:
            return Cost(Estimate(0.0, 0.0, 0.0, 0.0, 0.0, self.level), True)
        choice, reference_choice = (Selection(np.array([i]), self.grid.size) for i in (at, base))
        nothing = np.zeros((1, self.grid.size))
        nats = measured(nothing, self.crossed, _ENTROPY, choice, reference_choice, level=self.level)
        return Cost(nats, bool(nats.high <= self.allowance.nats) and len(self.panels.seeds) > 1)

    def unscored(self, risky: Recipe, clean: Recipe) -> Unscored:
        """Shares of generations without a score, and what they could make of the difference."""
        mean, unscored = self.panels.mean, self.panels.unscored
        harmless = Panel(mean.numerator, unscored.denominator).values()
        share = unscored.values()
        toxic = harmless + share
        return Unscored(
            risky=float(share[risky.cell]),
            clean=float(share[clean.cell]),
            low=float(harmless[risky.cell] - toxic[clean.cell]),
            high=float(toxic[risky.cell] - harmless[clean.cell]),
        )


def _study(
    panels: Panels,
    arms: list[Treatment],
    affordable: Mask,
    allowance: Allowance,
    resamples: int,
    seed: int,
    level: float,
) -> _Study:
    ours = [cell for cell in panels.cells if cell.arm in set(arms)]
    steerings = sorted(
        {(cell.method, cell.setting) for cell in ours}, key=lambda steering: (steering[0] != NONE, steering)
    )
    index = {cell: i for i, cell in enumerate(panels.cells)}
    grid = np.array([[index[type(ours[0])(arm, *steering)] for steering in steerings] for arm in arms], np.intp)
    errors_of = crossed((panels.mean, panels.probability, panels.maximum, panels.cross_entropy), grid)
    rng = np.random.default_rng([seed, 0xB007])
    errors = errors_of.draws(rng, (0, 0, 0, 1), resamples)
    dose = np.repeat([arm.dose for arm in arms], len(steerings))
    open_to = affordable[grid.ravel()]
    risky, clean = (np.flatnonzero(open_to & (is_risky == (dose > 0))) for is_risky in (True, False))
    return _Study(panels, allowance, grid, errors_of, errors, rng, risky, clean, level)


def _contrasts(cells: int, of: NDArray[np.intp], base: int) -> Array:
    contrasts = np.zeros((len(of), cells))
    contrasts[np.arange(len(of)), of] = 1
    contrasts[:, base] -= 1
    return contrasts


def _answered(study: _Study, risky: list[Recipe], clean: Recipe) -> Answer:
    panels, best = study.panels, min(risky, key=lambda r: r.toxicity)
    choices = study.choices()
    contrast = study.contrast(*choices)
    comparisons = study.comparisons(risky, clean)
    named = next(comparison for comparison in comparisons if comparison.recipe == best)
    unscored = study.unscored(best, clean)
    doubt = why_no_claim(panels, contrast.mean, unscored)
    verdict = "unknown" if doubt is not None else verdict_of(contrast.mean, named)
    chosen = (study.chosen(best, choices[0]), study.chosen(clean, choices[1]))
    partial = Answer(verdict, "", study.allowance, *chosen, contrast, unscored, named, tuple(comparisons))
    sentence = sentence_of(partial, doubt)
    if left_out := sorted({gap.cell.arm for gap in panels.gaps}):
        sentence += f" Not compared, as figures are missing: {', '.join(map(arm_words, left_out))}."
    return Answer(verdict, sentence, study.allowance, *chosen, contrast, unscored, named, tuple(comparisons))
