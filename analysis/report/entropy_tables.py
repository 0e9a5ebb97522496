"""Cross-entropy, fluency and relearning as a person reads them, from the frames of the same names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from analysis.report.words import arm_words, interval, number
from analysis.settings import Setting
from infra.render.page import Table

MAIN_DOCUMENTS, MAIN_PROMPTS = "held out", "main"
"""What the documents and prompts are called that count in the answer, which have no name of their own."""


def entropy_tables(table: pl.DataFrame) -> list[Table]:
    """Nats per token and bits per byte by documents, arm and recipe; none where nothing was measured."""
    rows = [
        (
            row["instance"] or MAIN_DOCUMENTS,
            arm_words(row["dose"], row["policy"]),
            recipe_words(row),
            interval(row, "nats_per_token"),
            interval(row, "bits_per_byte"),
            row["documents"],
            row["unmeasured"] or "",
        )
        for row in table.to_dicts()
    ]
    columns = ("documents", "arm", "recipe", "nats per token", "bits per byte", "number", "not measured")
    title = "Cross-entropy of every set of documents, with 95 % intervals over documents and seeds"
    return [Table(title, columns, tuple(rows))] if rows else []


def fluency_tables(table: pl.DataFrame) -> list[Table]:
    """How the generations read, by prompts, arm and recipe; none where nothing was measured."""
    figures = {"perplexity": 1, "judge_perplexity": 1, "distinct_2": 3, "repeated_4": 3, "length": 1, "ended": 3}
    rows = [
        (
            row["instance"] or MAIN_PROMPTS,
            arm_words(row["dose"], row["policy"]),
            recipe_words(row),
            *(interval(row, name, digits) for name, digits in figures.items()),
            row["empty"] or "",
        )
        for row in table.to_dicts()
    ]
    names = ("perplexity", "under another model", "distinct-2", "rep-4", "tokens", "ended by itself", "empty")
    title = "Fluency of what was generated, with 95 % intervals over prompts and seeds"
    return [Table(title, ("prompts", "arm", "recipe", *names), tuple(rows))] if rows else []


def relearning_tables(table: pl.DataFrame) -> list[Table]:
    """Steps of an attack until toxicity was back, by arm; none where nothing was attacked."""
    rows = [
        (
            arm_words(row["dose"], row["policy"]),
            row["method"],
            interval(row, "steps", 0) if row["steps"] is not None else f"at least {row['at_least']:.0f}",
            f"{row['relearned']} of {row['seeds']}",
            number(row["start"]),
            number(row["until"]),
            row["resolution"] if row["resolution"] is not None else "",
        )
        for row in table.to_dicts()
    ]
    columns = ("arm", "attack", "steps", "seeds that relearned", "toxicity before", "until", "measured every")
    title = "Relearning: steps of fine-tuning on toxic text until toxicity was back, with 95 % intervals over seeds"
    return [Table(title, columns, tuple(rows))] if rows else []


def recipe_words(row: Mapping[str, Any]) -> str:
    """A method at its setting, from a row with `method`, `by_budget` and `setting`."""
    setting = Setting(row["by_budget"], row["setting"])
    return f"{row['method']} {setting.words}" if setting.value else str(row["method"])
