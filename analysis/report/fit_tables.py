"""What is fitted to a study's results, as a person reads it: optimum doses, how stable the choice is, volumes."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from analysis.report.words import arm_words, interval
from infra.render.page import Table

MOST_NAMED = 10
"""Recipes of a side that the table of stability shows; the rest is one row."""


def optima_tables(optima: pl.DataFrame) -> Iterable[Table]:
    """From `optima_table`: where a method leaves least toxicity, or why the data do not tell."""
    rows = tuple((row["method"], row["policy"], row["doses"], row["words"]) for row in optima.to_dicts())
    title = "The dose of least toxicity after steering, by a smooth curve through the doses"
    return [Table(title, ("method", "policy", "doses", "optimum"), rows)] if rows else []


def stability_tables(stability: pl.DataFrame) -> Iterable[Table]:
    """From `stability_table`: one table a side, the most often named recipes first."""
    titles = {"risky": "Which recipe with risky text resamples of prompts and seeds would name",
              "clean": "Which clean recipe resamples of prompts and seeds would name"}  # fmt: skip
    for side, title in titles.items():
        named = stability.filter(pl.col("side") == side)
        if named.is_empty():
            continue
        rows = [(row["recipe"], _percent(row["share"])) for row in named.head(MOST_NAMED).to_dicts()]
        if named.height > MOST_NAMED:
            rest = sum(named["share"][MOST_NAMED:].to_list())
            rows.append((f"{named.height - MOST_NAMED} others", _percent(rest)))
        yield Table(title, ("recipe", "share"), tuple(rows))


def hypervolume_tables(volumes: pl.DataFrame) -> Iterable[Table]:
    """From `hypervolume_table`: toxicity below the reference, averaged over budgets up to the allowance."""
    if volumes.is_empty():
        return
    first = volumes.row(0, named=True)
    rows = tuple(
        (row["method"], arm_words(row["dose"], row["policy"]), interval(row, "volume"), interval(row, "above_clean"))
        for row in volumes.to_dicts()
    )
    title = (
        f"Hypervolume of the frontiers: how far below {first['reference']:.3f} mean toxicity is, averaged over all "
        f"budgets up to {first['allowance']:g} nats, with 95 % intervals"
    )
    yield Table(title, ("method", "arm", "below the reference", "more than clean"), rows)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
