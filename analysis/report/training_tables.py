"""Steerability over training as a person reads it."""

from __future__ import annotations

import polars as pl

from analysis.report.words import arm_words, interval, setting_words
from infra.render.page import Table


def training_tables(table: pl.DataFrame) -> list[Table]:
    """One table, from the frame of `analysis.statistics.training`; none where no checkpoint was measured."""
    if table.is_empty():
        return []
    rows = [
        (
            arm_words(row["dose"], row["policy"], row["mixture"]),
            setting_words(row),
            "end" if row["step"] is None else f"{row['step']:,}",
            interval(row, "toxicity"),
            interval(row, "taken_away"),
            interval(row, "cross_entropy", 2),
            interval(row, "probe_accuracy"),
        )
        for row in table.to_dicts()
    ]
    figures = ("mean toxicity", "taken away by steering", "cross-entropy", "mean probe accuracy")
    title = "Over training, all seeds together, with 95 % intervals"
    return [Table(title, ("arm", "recipe", "step", *figures), tuple(rows))]
