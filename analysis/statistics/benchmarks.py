"""Capability by task and red-teaming by attack, as tables of means over the rows of one subject."""

from __future__ import annotations

import polars as pl

from analysis.results import CAPABILITY, RED_TEAM
from infra.render.page import Table

_ATTACKS = {0: "no suffix", 1: "sought without steering", 2: "sought with steering inside"}


def benchmark_tables(results: pl.DataFrame) -> list[Table]:
    """One table an evaluation that was measured; what could not be measured is counted beside, and in no mean."""
    capability = results.filter(pl.col("evaluation") == CAPABILITY)
    red_team = results.filter(pl.col("evaluation") == RED_TEAM)
    tasks = capability.with_columns(group=pl.col("prompt_id").str.split("/").list.first())
    attacks = red_team.with_columns(group=pl.col("sample").replace_strict(_ATTACKS, return_dtype=pl.String))
    return [
        Table(title, (what, *_COLUMNS), _means(rows))
        for title, what, rows in (("Capability", "task", tasks), ("Red team", "suffix", attacks))
        if len(rows)
    ]


_COLUMNS = ("mean", "measured", "not measured")


def _means(rows: pl.DataFrame) -> tuple[tuple[object, ...], ...]:
    value = pl.col("value")
    means = rows.group_by("group", maintain_order=True).agg(
        value.mean(), measured=value.count(), unmeasured=value.null_count()
    )
    return tuple(means.rows())
