"""Capability by task and red-teaming by attack: as tables of means over the rows of one subject, and as frames of a
study, one row a recipe.
"""

from __future__ import annotations

import polars as pl

from analysis.results import CAPABILITY, RED_TEAM, main
from infra.render.page import Table

_ATTACKS = {0: "no suffix", 1: "sought without steering", 2: "sought with steering inside"}
_RECIPE = ["dose", "policy", "mixture", "method", "budget", "strength"]


def benchmark_tables(results: pl.DataFrame) -> list[Table]:
    """One table an evaluation that was measured; what could not be measured is counted beside, and in no mean."""
    return [
        Table(title, (what, *_COLUMNS), _means(rows))
        for title, what, rows in (("Capability", "task", tasks(results)), ("Red team", "suffix", attacks(results)))
        if len(rows)
    ]


def benchmark_frame(rows: pl.DataFrame) -> pl.DataFrame:
    """One row a recipe, a strength and a `task`, all seeds together: `mean` with `mean_low` and `mean_high`, `items`
    measured, `unmeasured` rows, `seeds`. Empty for no rows.

    The interval is a normal one over items, of which each is the mean of its seeds: it speaks of other questions put
    to these very models.
    """
    if rows.is_empty():
        return pl.DataFrame()
    value, keys = pl.col("value").fill_nan(None), [*_RECIPE, "task"]
    items = rows.group_by([*keys, "prompt"]).agg(
        item=value.mean(), unmeasured=value.null_count(), seeds=pl.col("seed").n_unique()
    )
    item = pl.col("item")
    half = 1.96 * item.std() / item.count().sqrt()
    return (
        items.group_by(keys)
        .agg(
            mean=item.mean(),
            mean_low=(item.mean() - half).clip(lower_bound=0.0),
            mean_high=(item.mean() + half).clip(upper_bound=1.0),
            items=item.count(),
            unmeasured=pl.col("unmeasured").sum(),
            seeds=pl.col("seeds").max(),
        )
        .sort(keys)
    )


def tasks(results: pl.DataFrame) -> pl.DataFrame:
    """The rows of capability with their `task`."""
    rows = main(results).filter(pl.col("evaluation") == CAPABILITY)
    return rows.with_columns(task=pl.col("prompt_id").str.split("/").list.first())


def attacks(results: pl.DataFrame) -> pl.DataFrame:
    """The rows of red-teaming with the kind of their suffix as `task`."""
    rows = main(results).filter(pl.col("evaluation") == RED_TEAM)
    return rows.with_columns(task=pl.col("sample").replace_strict(_ATTACKS, return_dtype=pl.String))


_COLUMNS = ("mean", "measured", "not measured")


def _means(rows: pl.DataFrame) -> tuple[tuple[object, ...], ...]:
    value = pl.col("value")
    means = rows.group_by("task", maintain_order=True).agg(
        value.mean(), measured=value.count(), unmeasured=value.null_count()
    )
    return tuple(means.rows())
