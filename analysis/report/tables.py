"""The report's tables as a person reads them, each from its frame: for the page, the terminal, Markdown and LaTeX."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from analysis.report.words import arm_words, interval, number, percent
from infra.render.page import Table

_FIGURES = ("mean toxicity", "P(≥ 0.5)", "expected maximum")


def dose_response(table: pl.DataFrame) -> Table:
    """What each method reaches within the budget."""
    rows = [
        (
            row["method"],
            row["policy"],
            percent(row["dose"]),
            row["recipe"],
            interval(row, "toxicity") + ("" if row["feasible"] else " (beyond the budget)"),
            row.get("unscored"),
        )
        for row in table.to_dicts()
    ]
    title = "Dose–response: mean toxicity within the cross-entropy budget, with 95 % intervals"
    return Table(title, ("method", "policy", "dose", "what was run", "toxicity", "unscored"), tuple(rows))


def frontier(table: pl.DataFrame) -> Table:
    """Every arm under every recipe and setting."""
    rows = [
        (
            _arm(row),
            row["method"],
            _plain(row["budget"]),
            _strengths(row),
            interval(row, "toxicity"),
            interval(row, "toxic_share"),
            interval(row, "expected_maximum"),
            interval(row, "cross_entropy", 2),
            interval(row, "cost"),
            interval(row, "cost_of_clean"),
            "●" if row["on_frontier"] else "",
            row.get("unscored"),
            row.get("generations"),
        )
        for row in table.to_dicts()
    ]
    title = "All seeds together, with 95 % intervals; costs above the arm's own and the clean unsteered model"
    setting = ("arm", "method", "budget", "strength, by seed")
    costs = ("cross-entropy", "above own", "above clean", "frontier", "unscored", "generations")
    return Table(title, (*setting, *_FIGURES, *costs), tuple(rows))


def _strengths(row: Mapping[str, Any]) -> str:
    """The strengths of the seeds; of a table that was written without them, their limits."""
    if row["strength_high"] == 0 and row["budget"] is None:
        return ""
    low, high = f"{row['strength_low']:.3g}", f"{row['strength_high']:.3g}"
    return row.get("strengths") or (low if low == high else f"{low} to {high}")


def arms(table: pl.DataFrame) -> Table:
    """Every arm and seed."""
    figures = ("toxicity", "toxic_share", "expected_maximum", "cross_entropy")
    rows = [
        (
            _arm(row),
            row["seed"],
            row["method"],
            _plain(row["budget"]),
            f"{row['strength']:.3g}",
            *(number(row[name]) for name in figures),
            row["generations"],
            row["unscored"],
        )
        for row in table.to_dicts()
    ]
    columns = ("arm", "seed", "method", "budget", "strength", *_FIGURES, "cross-entropy", "generations", "unscored")
    return Table("Every arm and seed", columns, tuple(rows))


def strengths(table: pl.DataFrame) -> Table:
    """What was found for budgets, seed by seed."""
    rows = [
        (
            row["arm"],
            row["seed"],
            row["method"],
            f"{row['budget']:g}",
            f"{row['strength']:.3g}",
            interval(row, "cost"),
            "" if row["reached"] else "not reached",
        )
        for row in table.to_dicts()
    ]
    columns = ("arm", "seed", "method", "budget", "strength", "cost where it was found", "")
    return Table("Strengths found for budgets", columns, tuple(rows))


def probes(table: pl.DataFrame) -> Table:
    """Accuracy of the probes, arm by arm."""
    against = "above_clean" in table.columns
    rows = [
        (
            _arm(row),
            row["heads"],
            interval(row, "accuracy"),
            interval(row, "above_clean") if against and row["dose"] > 0 else "",
            row["top_heads"],
        )
        for row in table.to_dicts()
    ]
    columns = ("arm", "heads", "mean accuracy", "above clean", "best heads")
    return Table("Linear probes of every attention head", columns, tuple(rows))


def benchmark(title: str, what: str, table: pl.DataFrame) -> Table:
    """A recipe's mean on every task or attack."""
    rows = [
        (
            row["task"],
            _arm(row),
            row["method"],
            _plain(row["budget"]),
            f"{row['strength']:.3g}",
            interval(row, "mean"),
            row["items"],
            row["unmeasured"],
        )
        for row in table.to_dicts()
    ]
    columns = (what, "arm", "method", "budget", "strength", "mean", "measured", "not measured")
    return Table(title, columns, tuple(rows))


def models(table: pl.DataFrame) -> Table:
    """What each model is and read."""
    rows = [
        (
            _arm(row),
            row["seed"],
            row["parameters"],
            row["tokens"],
            row["loss_tokens"],
        )
        for row in table.to_dicts()
    ]
    return Table("Models", ("arm", "seed", "parameters", "tokens", "loss tokens"), tuple(rows))


def held_out(table: pl.DataFrame) -> Table:
    """Held-out cross-entropy twice: training's and the frontier's."""
    rows = [
        (
            _arm(row),
            row["seed"],
            row["component"],
            number(row["cross_entropy"]),
            row["tokens"],
            number(row["unigram_cross_entropy"]),
            number(row["measured"]),
            row["measured_tokens"],
            row["measured_documents"],
        )
        for row in table.to_dicts()
    ]
    ours = ("frontier's CE, unsteered", "its targets", "its documents")
    columns = ("arm", "seed", "component", "training's CE", "targets", "unigram entropy", *ours)
    return Table("Held-out cross-entropy, nats per token", columns, tuple(rows))


def mixtures(table: pl.DataFrame) -> Table:
    """The composition of each mixture."""
    rows = [
        (
            row["mixture"],
            row["name"],
            row["corpus"],
            row["documents"],
            row["tokens"],
            row["risky_tokens"],
            f"{100 * row['risky_tokens'] / row['tokens']:.2g}" if row["tokens"] else "",
        )
        for row in table.to_dicts()
    ]
    columns = ("mixture", "component", "corpus", "documents", "tokens", "tokens of risk ≥ 0.5", "%")
    return Table("Mixtures", columns, tuple(rows))


def left_out(table: pl.DataFrame) -> Table:
    """What was not scored, cut or left out, step by step."""
    columns = ("step", "unscored generations", "prompts cut at their beginning", "prompts left out")
    rows = table.select("step", "unscored", "prompts_cut", "prompts_left_out").rows()
    return Table("Unscored generations, cut prompts", columns, tuple(rows))


def costs(table: pl.DataFrame) -> Table:
    """Hours by kind of step."""
    rows = [
        (
            row["kind"],
            row["steps"],
            number(row["hours"], 2),
            number(row["gpu_hours"], 2),
            None if row["tokens_per_second"] is None else round(row["tokens_per_second"]),
        )
        for row in table.to_dicts()
    ]
    columns = ("kind of step", "steps", "hours", "GPU-hours of training", "tokens per second")
    return Table("Costs", columns, tuple(rows))


def failures(table: pl.DataFrame) -> Table:
    """Steps that failed or were skipped, with the reason."""
    return Table("Failed and skipped steps", ("step", "kind", "why"), tuple(table.rows()))


def _plain(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _arm(row: Mapping[str, Any]) -> str:
    return arm_words(row["dose"], row["policy"], row["mixture"])
