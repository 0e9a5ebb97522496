"""Geometry of arms: what `probes` measured beside accuracy, with intervals over seeds."""

from __future__ import annotations

from typing import Any

import polars as pl

from analysis.results import PROBES, TOKENS
from analysis.statistics.heads import ARM
from analysis.statistics.seeds import columns, over_seeds

GEOMETRY_COLUMNS = (*ARM, "figure", "seeds", "value", "value_low", "value_high", "above_clean", "above_clean_low",
                    "above_clean_high")  # fmt: skip
"""Of `geometry_table`: a figure (an instance of `probes`) as its mean over heads or layers, and its difference from the
clean arm's under the seeds that both have; intervals are over seeds, null with one.
"""


def geometry_table(results: pl.DataFrame, *, seed: int = 0) -> pl.DataFrame:
    """One row an (arm, figure), columns `GEOMETRY_COLUMNS`; empty where nothing of it was measured."""
    rows = results.filter(
        pl.col("evaluation") == PROBES, pl.col("method") == "none", pl.col("step").is_null(),
        pl.col("instance").is_not_null(), pl.col("instance") != TOKENS,
    ).with_columns(pl.col("value").fill_nan(None))  # fmt: skip
    if rows.is_empty():
        return pl.DataFrame()
    means = rows.group_by(*ARM, "instance", "seed").agg(pl.col("value").mean()).drop_nulls("value")
    keys = means.select(*ARM, "instance").unique().sort("instance", *ARM).rows()
    return pl.concat([_row(means, key, seed) for key in keys]).select(GEOMETRY_COLUMNS)


def _row(means: pl.DataFrame, key: tuple[Any, ...], seed: int) -> pl.DataFrame:
    *arm, figure = key
    ours = means.filter(*(pl.col(name) == value for name, value in zip(ARM, arm, strict=True)), instance=figure)
    clean = means.filter(pl.col("dose") == 0, instance=figure).unique("seed").select("seed", clean="value")
    told: dict[str, Any] = {**dict(zip(ARM, arm, strict=True)), "figure": figure, "seeds": len(ours)}
    told |= columns("value", over_seeds(ours.sort("seed")["value"].to_numpy()[:, None], seed=seed))
    both = ours.join(clean, on="seed").sort("seed")
    if both.is_empty() or arm[0] == 0:
        nothing = {f"above_clean{suffix}": None for suffix in ("", "_low", "_high")}
        return pl.DataFrame(told | nothing, schema_overrides=dict.fromkeys(nothing, pl.Float64))
    return pl.DataFrame(
        told | columns("above_clean", over_seeds((both["value"] - both["clean"]).to_numpy()[:, None], seed=seed))
    )
