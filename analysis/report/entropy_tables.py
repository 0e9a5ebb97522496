"""Cross-entropy, fluency and relearning as a person reads them, from the frames of the same names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from analysis.report.tables import arm_words, interval
from analysis.settings import Setting
from infra.render.page import Table

COUNTED = "held out"
"""What the documents or prompts are called that have no name of their own."""


def entropy_tables(table: pl.DataFrame) -> list[Table]:
    """Nats per token and bits per byte by documents, arm and recipe; none where nothing was measured."""
    rows = [
        (
            row["instance"] or COUNTED,
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


def recipe_words(row: Mapping[str, Any]) -> str:
    """A method at its setting, from a row with `method`, `by_budget` and `setting`."""
    setting = Setting(row["by_budget"], row["setting"])
    return f"{row['method']} {setting.words}" if setting.value else str(row["method"])
