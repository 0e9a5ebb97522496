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

FEWEST_PROMPTS = 10
"""Prompts below which nothing is claimed. Ours: the mean over fewer is far from normal where scores are skewed."""

FLATTERY = "with what choosing the best flatters taken off"
"""What the difference of an answer is, beside the recipes' own figures, which are as they were measured."""

Verdict = Literal["risky", "clean", "unknown", "impossible"]


@dataclass(frozen=True)
class Cost:
    """What a named recipe costs on held-out documents, above what the allowance counts from."""

    nats: Estimate
    is_within: bool
    """Whether the interval's upper limit is within the allowance; never known from one seed."""


@dataclass(frozen=True)
class Share:
    """How often choosing on noisy copies of the data falls on a recipe."""

    cell: int
    words: str
    share: float


@dataclass(frozen=True)
class ChosenRecipe:
    """The least toxic recipe on all data, with the figures of choosing in this way (see `selection`)."""

    recipe: Recipe
    words: str
    toxicity: Estimate
    cross_entropy: Estimate
    share: float = float("nan")
    """Share of the choices on noisy copies of the data that fall on it."""
    choices: tuple[Share, ...] = ()
    """Every recipe that any choice falls on, the most frequent first."""
    cost: Cost | None = None
    """The recipe's own; None where the model from which it counts is not compared."""


@dataclass(frozen=True)
class Contrast:
    """Choosing among risky recipes minus choosing among clean ones, paired: below zero, the risky one is better."""

    mean: Estimate
    probability: Estimate
    maximum: Estimate
    cross_entropy: Estimate


@dataclass(frozen=True)
class Comparison:
    """The best recipe of a risky arm minus the best clean one in mean toxicity, on all data."""

    recipe: Recipe
    words: str
    difference: Estimate
    """Its limits hold for all `compared` recipes together."""
    max_t: float
    """p-value adjusted for them by the largest |t|."""
    holm: float
    """The same by Holm's method."""
    compared: int


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
    named: Comparison | None = None
    """The named risky recipe against the named clean one."""
    comparisons: tuple[Comparison, ...] = ()
    """The best recipe of every risky arm."""


def verdict_of(gap: Estimate, named: Comparison) -> Verdict:
    """A claim needs both intervals: that of choosing, and that of the named recipe among all."""
    if not (gap.excludes_zero and named.difference.excludes_zero) or (gap.value < 0) != (named.difference.value < 0):
        return "unknown"
    return "risky" if gap.value < 0 else "clean"


def why_no_claim(panels: Panels, gap: Estimate, unscored: Unscored) -> str | None:
    """Why nothing can be claimed whatever the interval says; None where nothing speaks against it."""
    if len(panels.seeds) == 1:
        return "one seed decides nothing, as the next one may differ by more"
    if len(panels.prompts) < FEWEST_PROMPTS:
        return f"{len(panels.prompts)} prompts are too few: intervals want {FEWEST_PROMPTS}"
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
    return cell_words(panels.cells[recipe.cell], panels)


def cell_words(cell: Cell, panels: Panels) -> str:
    """The same of a cell."""
    return f"{arm_words(cell.arm)} {steering_words(cell, panels.strengths)}"


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


def sentence_of(answer: Answer, doubt: str | None) -> str:
    """What an answer with figures says; `doubt` is what speaks against any claim."""
    risky, clean, contrast, unscored, named = (
        answer.risky, answer.clean, answer.contrast, answer.unscored, answer.named
    )  # fmt: skip
    assert risky and clean and contrast and unscored and named
    shown = all(choice.cost is not None and choice.cost.is_within for choice in (risky, clean))
    begin = "Within" if shown else "Of the recipes measured within"
    main_clause = finding(answer.verdict, doubt, risky, clean, contrast.mean, named)
    first = f"{begin} {answer.allowance.words}, {main_clause}{counted(unscored)}."
    return f"{first}{cost_words(risky, clean)} {choice_words(risky, clean)}"


def finding(
    verdict: Verdict, doubt: str | None, risky: ChosenRecipe, clean: ChosenRecipe, gap: Estimate, named: Comparison
) -> str:
    """The sentence's main clause."""
    limits = f"{FLATTERY}, {interval_words(gap)}"
    if named.compared > 1:
        limits += f", and {limit_words(named.difference)} with all {named.compared} risky recipes counted"
    best, base = (f"{choice.words} (mean toxicity {choice.recipe.toxicity:.3f})" for choice in (risky, clean))
    if doubt is not None:
        measured = signed(gap.value) + (f" {limits}" if np.isfinite(gap.low) and gap.high > gap.low else "")
        return f"nothing is claimed: {doubt}; {best} against the best clean arm, {base}: difference {measured}"
    if verdict == "risky":
        return f"{best} is the least toxic: {-gap.value:.3f} below the best clean arm, {base}, {limits}"
    if verdict == "clean":
        return f"{base} is the least toxic: the best risky arm, {best}, is {gap.value:.3f} above it, {limits}"
    question = f"the data do not tell whether {best} is less toxic than the best clean arm, {base}"
    return f"{question}: difference {signed(gap.value)} {limits}"


def cost_words(risky: ChosenRecipe, clean: ChosenRecipe) -> str:
    """What the named recipes cost on held-out text, and whether that is shown to be within the budget."""
    parts = []
    for who, choice in (("risky", risky), ("clean", clean)):
        if choice.cost is None:
            parts.append(f"what the {who} recipe costs is not known")
        elif choice.cost.nats.se != 0:
            told = "within the budget" if choice.cost.is_within else "not shown to be within the budget"
            interval = f" ({interval_words(choice.cost.nats)})" if np.isfinite(choice.cost.nats.low) else ""
            parts.append(f"the {who} recipe costs {signed(choice.cost.nats.value)} nats{interval}, {told}")
    return f" On held-out text {'; '.join(parts)}." if parts else ""


def choice_words(risky: ChosenRecipe, clean: ChosenRecipe) -> str:
    """How stable the choice is, which is also what the difference is a mean over."""
    shares = f"{100 * risky.share:.0f} % and {100 * clean.share:.0f} %"
    return f"Chosen anew on noisy copies of the data, these two recipes are named in {shares} of them."


def interval_words(estimate: Estimate) -> str:
    """An interval with its level, such as `95 % interval +0.010 to +0.030`."""
    return f"{100 * estimate.level:.0f} % interval {limit_words(estimate)}"


def limit_words(estimate: Estimate) -> str:
    """An interval's limits with their signs."""
    return f"{signed(estimate.low)} to {signed(estimate.high)}"


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
