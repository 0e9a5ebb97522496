"""What an answer says: its records, what speaks against a claim, and its sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from analysis.statistics.frontier import Allowance, Recipe
from analysis.statistics.intervals import Estimate
from analysis.statistics.panels import NONE, Cell, Gap, Panels, Treatment

UNSCORED_CEILING = 0.1
"""Share of a recipe's generations without a score above which nothing is claimed about it. Ours: beyond it, what the
unscored ones may be weighs more than the differences that a study is after.
"""

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
class Unscored:
    """Share of each recipe's generations that have no score; limits of the difference in mean toxicity if all of these
    were harmless under one recipe and fully toxic under the other.
    """

    risky: float
    clean: float
    low: float
    high: float


@dataclass(frozen=True)
class Answer:
    """The verdict, the sentence and the figures behind them (absent where the verdict is `impossible`)."""

    verdict: Verdict
    sentence: str
    allowance: Allowance
    """What the recipes may cost."""
    risky: ChosenRecipe | None = None
    clean: ChosenRecipe | None = None
    contrast: Contrast | None = None
    unscored: Unscored | None = None


def why_no_claim(panels: Panels, prompts: int, gap: Estimate, unscored: Unscored) -> str | None:
    """Why nothing can be claimed whatever the interval says; None where nothing speaks against it."""
    if len(panels.seeds) == 1:
        return "one seed decides nothing, as the next one may differ by more"
    if prompts < 2:
        return f"{len(panels.prompts)} prompts are too few, as half of them choose the recipes"
    if not gap.se > 1e-12:  # nan too
        return "no score differs from another"
    if (share := max(unscored.risky, unscored.clean)) > UNSCORED_CEILING:
        allowed = f"{100 * UNSCORED_CEILING:g} % allowed"
        return f"{100 * share:.0f} % of the generations have no score, more than the {allowed}"
    return None


def arm_words(arm: Treatment) -> str:
    """An arm in words, such as `10 % risky text (mask)`."""
    return "the clean corpus" if arm.dose == 0 else f"{100 * arm.dose:.3g} % risky text ({arm.policy})"


def describe(recipe: Recipe, panels: Panels) -> str:
    """A recipe in words, such as `10 % risky text (mask) with iti at 0.05 nats (strength 2.1 to 2.4)`."""
    return f"{arm_words(recipe.arm)} {steering_words(panels.cells[recipe.cell], panels.strengths)}"


def steering_words(cell: Cell, strengths: Mapping[Cell, tuple[float, float]]) -> str:
    """What was run on an arm: the recipe's name and its setting, and the strength that was found for a budget."""
    if cell.method == NONE:
        return "unsteered"
    if cell.setting.value == 0:
        return f"with {cell.method}"
    strength = f" ({strength_words(*strengths[cell])})" if cell.setting.by_budget and cell in strengths else ""
    return f"with {cell.method} {cell.setting.words}{strength}"


def strength_words(low: float, high: float) -> str:
    """Strengths found under several seeds, as `strength 2.1 to 2.4`."""
    lowest, highest = f"{low:.3g}", f"{high:.3g}"
    return f"strength {lowest}" if lowest == highest else f"strength {lowest} to {highest}"


def finding(verdict: Verdict, doubt: str | None, risky: ChosenRecipe, clean: ChosenRecipe, gap: Estimate) -> str:
    """The sentence's main clause; `doubt` is what speaks against any claim."""
    limits = f"{100 * gap.level:.0f} % interval {signed(gap.low)} to {signed(gap.high)}"
    best, base = (f"{choice.words} (mean toxicity {choice.toxicity.value:.3f})" for choice in (risky, clean))
    if doubt is not None:
        measured = signed(gap.value) + (f", {limits}" if np.isfinite(gap.low) and gap.high > gap.low else "")
        return f"nothing is claimed: {doubt}; {best} against the best clean arm, {base}: difference {measured}"
    if verdict == "risky":
        return f"{best} is the least toxic: {-gap.value:.3f} below the best clean arm, {base}; {limits}"
    if verdict == "clean":
        return f"{base} is the least toxic: the best risky arm, {best}, is {gap.value:.3f} above it; {limits}"
    question = f"the data do not tell whether {best} is less toxic than the best clean arm, {base}"
    return f"{question}: difference {signed(gap.value)}, {limits}"


def counted(unscored: Unscored) -> str:
    """What the generations without a score could make of the difference; nothing where all have one."""
    if unscored.risky == unscored.clean == 0:
        return ""
    shares = f"{100 * unscored.risky:.2g} % and {100 * unscored.clean:.2g} %"
    limits = f"{signed(unscored.low)} to {signed(unscored.high)}"
    return f"; {shares} of their generations have no score, with which the difference could be {limits}"


def missing(gaps: Sequence[Gap]) -> str:
    """What is missing, in words; nothing where the grid never had it."""
    if not gaps:
        return ""
    cell, seed = gaps[0]
    steering, corpus = steering_words(cell, {}), arm_words(cell.arm)
    more = f" and {len(gaps) - 1} more" if len(gaps) > 1 else ""
    return f": no figures of {corpus} {steering} under seed {seed}{more} (see what failed)"


def nothing_affordable(allowance: Allowance, clean: bool) -> str:
    """The sentence where every recipe of one side costs more than the budget."""
    who = "No clean arm" if clean else "No arm with risky text"
    return f"{who} that has every seed stays within {allowance.words}."


def signed(value: float) -> str:
    """A difference with its sign and a true minus."""
    return f"{value:+.3f}".replace("-", "−")
