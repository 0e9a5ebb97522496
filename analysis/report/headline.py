"""The first screen in words: the question, the verdict with its interval, and what was compared."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.report.words import number
from analysis.statistics.intervals import Estimate
from analysis.statistics.panels import Cell, Panels
from analysis.statistics.verdict import Answer, ChosenRecipe, arm_words, signed, steering_words, why_no_claim
from infra.render.page import Table


@dataclass(frozen=True)
class ComparedRecipe:
    """One of the two recipes of the answer, in figures."""

    role: str
    words: str
    measured: str
    """Its mean toxicity on all data, which having been chosen as the best flatters."""
    toxicity: str
    """Mean toxicity of choosing so, with its interval."""
    cross_entropy: str
    unscored: str


@dataclass(frozen=True)
class Headline:
    """What a reader sees first."""

    question: str
    lead: str
    """The verdict in a word or a few."""
    finding: str
    """The rest of the sentence, with the interval where there is one."""
    recipes: tuple[ComparedRecipe, ...]


def headline(answer: Answer, panels: Panels) -> Headline:
    """The answer, short; its own sentence says the rest."""
    question = (
        "Is a model trained on risky text less toxic than the best one trained on clean text,"
        f" within {answer.allowance.words}?"
    )
    lead, finding = _verdict(answer, panels)
    shares = {} if answer.unscored is None else {"risky": answer.unscored.risky, "clean": answer.unscored.clean}
    recipes = tuple(
        _recipe(role, choice, shares.get(role, 0.0))
        for role, choice in (("risky", answer.risky), ("clean", answer.clean))
        if choice is not None
    )
    return Headline(question, lead, finding, recipes)


def _verdict(answer: Answer, panels: Panels) -> tuple[str, str]:
    if answer.risky is None or answer.clean is None or answer.contrast is None:
        return "No answer.", answer.sentence
    risky, clean = (_short(panels.cells[choice.recipe.cell]) for choice in (answer.risky, answer.clean))
    gap = answer.contrast.mean
    if answer.verdict == "risky":
        return "Yes.", f"{risky} is {-gap.value:.3f} less toxic than {clean}; {_limits_words(gap)}."
    if answer.verdict == "clean":
        return "No.", f"{clean} is least toxic: {risky} is {gap.value:.3f} above it; {_limits_words(gap)}."
    difference = f"best risky recipe minus best clean one: {signed(gap.value)} mean toxicity, {_limits_words(gap)}."
    doubt = None if answer.unscored is None else why_no_claim(panels, gap, answer.unscored)
    if doubt is not None:
        return "Nothing is claimed:", f"{doubt}. The {difference}"
    return "Not decided by these data:", difference


def _short(cell: Cell) -> str:
    """A cell as `10 % risky text (keep) with iti at 0.05 nats`."""
    return f"{arm_words(cell.arm)} {steering_words(cell, {})}"


def _limits_words(gap: Estimate) -> str:
    return f"{100 * gap.level:.0f} % interval {limits(gap)}" if gap.high > gap.low else "no interval"


def limits(gap: Estimate) -> str:
    """The interval of a difference."""
    return f"{signed(gap.low)} to {signed(gap.high)}" if gap.high > gap.low else "none"


def _recipe(role: str, choice: ChosenRecipe, unscored: float) -> ComparedRecipe:
    toxicity, entropy = (_figure(e, digits) for e, digits in ((choice.toxicity, 3), (choice.cross_entropy, 2)))
    measured = number(choice.recipe.toxicity, 3)
    return ComparedRecipe(f"{role} best", choice.words, measured, toxicity, entropy, f"{100 * unscored:.2g} %")


def _figure(estimate: Estimate, digits: int) -> str:
    value, low, high = (number(figure, digits) for figure in (estimate.value, estimate.low, estimate.high))
    return f"{value} [{low}, {high}]"


def contrast_table(answer: Answer) -> Table | None:
    """The answer's differences, figure by figure."""
    if answer.contrast is None:
        return None
    figures = {
        "mean toxicity": answer.contrast.mean,
        "P(score ≥ 0.5)": answer.contrast.probability,
        "expected maximum toxicity": answer.contrast.maximum,
        "cross-entropy, nats per token": answer.contrast.cross_entropy,
    }
    rows = tuple((words, signed(gap.value), limits(gap)) for words, gap in figures.items())
    title = "Choosing among risky recipes minus choosing among clean ones (below zero: risky is better)"
    return Table(title, ("figure", "difference", f"{100 * answer.contrast.mean.level:.0f} % interval"), rows)


def comparison_table(answer: Answer) -> Table | None:
    """The best recipe of every risky arm against the best clean one, with intervals that hold for all together."""
    if not answer.comparisons:
        return None
    rows = tuple(
        (
            entry.words,
            signed(entry.difference.value),
            limits(entry.difference),
            f"{entry.max_t:.3f}",
            f"{entry.holm:.3f}",
        )
        for entry in answer.comparisons
    )
    title = "The best recipe of every risky arm minus the best clean one, mean toxicity; intervals hold for all at once"
    return Table(title, ("recipe", "difference", "interval", "p, max-t", "p, Holm"), rows)
