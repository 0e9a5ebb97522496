"""The report's tables as a person reads them: for the terminal, and for the page from the same records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from analysis.names import MATCHED
from analysis.report.input import ArmRecord, ReportInput, ShownTraining
from analysis.statistics.verdict import strength_words
from infra.render.page import Table

Frames = Mapping[str, pl.DataFrame]


def result_tables(frames: Frames) -> list[Table]:
    """Dose-response, frontier, arms and probes, from the frames `dose_response`, `frontier`, `arms` and `probes`."""
    builders = {"dose_response": _dose_response, "frontier": _frontier, "probes": _probes, "arms": _arms}
    return [build(frames[name]) for name, build in builders.items() if name in frames and frames[name].height]


def training_table(arms: Sequence[ArmRecord]) -> Table:
    """One row an arm: tokens, speed, held-out cross-entropy of each component beside the unigram entropy."""
    components = sorted({name for arm in arms for name in arm.training.held_out})
    columns = ["arm", "seed", "parameters", "tokens", "loss tokens", "tokens per second"]
    for name in components:
        columns += [f"{name}: held-out CE", f"{name}: unigram entropy"]
    rows = []
    for arm in arms:
        run = arm.training
        facts = (run.parameters, run.tokens, run.loss_tokens, round(run.tokens_per_second))
        rows.append((arm_words(arm.dose, arm.policy, arm.mixture), arm.seed, *facts, *_held_out(run, components)))
    return Table("Training", tuple(columns), tuple(rows))


def mixture_tables(arms: Sequence[ArmRecord]) -> list[Table]:
    """The composition of each mixture, once, whatever number of arms trained on it."""
    rows = [
        (
            name,
            component.name,
            component.corpus,
            component.documents,
            component.tokens,
            component.risky_tokens,
            f"{100 * component.risky_tokens / component.tokens:.2g}" if component.tokens else "",
        )
        for name, composition in {arm.mixture: arm.composition for arm in arms}.items()
        for component in composition.components
    ]
    columns = ("mixture", "component", "corpus", "documents", "tokens", "tokens of risk ≥ 0.5", "%")
    return [Table("Mixtures", columns, tuple(rows))] if rows else []


def failure_table(report: ReportInput) -> list[Table]:
    """Steps that failed or were skipped, with the reason."""
    rows = tuple((failure.step, failure.kind, failure.message) for failure in report.failures)
    return [Table("Failed and skipped steps", ("step", "kind", "why"), rows)] if rows else []


def strength_table(report: ReportInput) -> list[Table]:
    """The strengths that were found for budgets, seed by seed."""
    rows = tuple(
        (
            solution.arm,
            solution.seed,
            solution.method,
            f"{solution.budget:g}",
            f"{solution.strength:.3g}",
            interval(
                {"cost": solution.cost.value, "cost_low": solution.cost.low, "cost_high": solution.cost.high}, "cost"
            ),
            "" if solution.reached else "not reached",
        )
        for solution in report.strengths
    )
    columns = ("arm", "seed", "method", "budget", "strength", "cost where it was found", "")
    return [Table("Strengths found for budgets", columns, rows)] if rows else []


def setting_words(row: Mapping[str, Any]) -> str:
    """A method with its setting, from a row of the frontier, such as `iti at 0.05 nats (strength 2.1 to 2.4)`."""
    if row["strength_high"] == 0 and row["budget"] is None:
        return str(row["method"])
    strength = strength_words(row["strength_low"], row["strength_high"])
    budget = row["budget"]
    return f"{row['method']} at {strength}" if budget is None else f"{row['method']} at {budget:g} nats ({strength})"


def arm_words(dose: float, policy: str, mixture: str = "") -> str:
    """An arm in two words; a compute-matched control, which its mixture tells, with the dose whose tokens it has."""
    if mixture.startswith(MATCHED):
        return f"clean, as many tokens as {100 * float(mixture.removeprefix(MATCHED)):g} %"
    return "clean" if dose == 0 else f"{100 * dose:g} % {policy}"


def interval(row: Mapping[str, Any], name: str, digits: int = 3) -> str:
    """`value [low, high]`, or nothing where there is no value."""
    value, low, high = row[name], row[f"{name}_low"], row[f"{name}_high"]
    if value is None:
        return ""
    if low is None or high is None:
        return number(value, digits)
    return f"{number(value, digits)} [{number(low, digits)}, {number(high, digits)}]"


def number(value: float, digits: int = 3) -> str:
    """Fixed digits and a true minus."""
    return f"{value:.{digits}f}".replace("-", "−")


def _dose_response(table: pl.DataFrame) -> Table:
    rows = [
        (
            row["method"],
            row["policy"],
            f"{100 * row['dose']:g} %",
            row["recipe"],
            interval(row, "toxicity") + ("" if row["feasible"] else " (beyond the budget)"),
        )
        for row in table.to_dicts()
    ]
    title = "Dose–response: mean toxicity within the cross-entropy budget, with 95 % intervals"
    return Table(title, ("method", "policy", "dose", "what was run", "toxicity"), tuple(rows))


def _frontier(table: pl.DataFrame) -> Table:
    rows = [
        (
            arm_words(row["dose"], row["policy"]),
            setting_words(row),
            interval(row, "toxicity"),
            interval(row, "toxic_share"),
            interval(row, "expected_maximum"),
            interval(row, "cross_entropy", 2),
            interval(row, "cost"),
            interval(row, "cost_of_clean"),
            "●" if row["on_frontier"] else "",
        )
        for row in table.to_dicts()
    ]
    figures = ("mean toxicity", "P(≥ 0.5)", "expected maximum", "cross-entropy", "above own", "above clean")
    title = "All seeds together, with 95 % intervals; costs above the arm's own and the clean unsteered model"
    return Table(title, ("arm", "recipe", *figures, "frontier"), tuple(rows))


def _arms(table: pl.DataFrame) -> Table:
    figures = ("toxicity", "toxic_share", "expected_maximum", "cross_entropy")
    rows = [
        (
            arm_words(row["dose"], row["policy"]),
            row["seed"],
            row["method"],
            "" if row["budget"] is None else f"{row['budget']:g}",
            f"{row['strength']:.3g}",
            *("" if row[name] is None else number(row[name]) for name in figures),
            row["generations"],
            row["unscored"],
        )
        for row in table.to_dicts()
    ]
    names = ("mean toxicity", "P(≥ 0.5)", "expected maximum", "cross-entropy", "generations", "unscored")
    return Table("Every arm and seed", ("arm", "seed", "method", "budget", "strength", *names), tuple(rows))


def _probes(table: pl.DataFrame) -> Table:
    against = "above_clean" in table.columns
    rows = [
        (
            arm_words(row["dose"], row["policy"]),
            row["heads"],
            interval(row, "accuracy"),
            interval(row, "above_clean") if against and row["dose"] > 0 else "",
            row["top_heads"],
        )
        for row in table.to_dicts()
    ]
    columns = ("arm", "heads", "mean accuracy", "above clean", "best heads")
    return Table("Linear probes of every attention head", columns, tuple(rows))


def _held_out(training: ShownTraining, components: Sequence[str]) -> list[str]:
    cells = []
    for name in components:
        held = training.held_out.get(name)
        cells.append("" if held is None else number(held.cross_entropy, 2))
        cells.append(
            "" if held is None or held.unigram_cross_entropy is None else number(held.unigram_cross_entropy, 2)
        )
    return cells
