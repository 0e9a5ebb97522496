"""Fluency as a table: how likely, how varied and how long the generations of every arm and recipe are."""

from __future__ import annotations

import polars as pl

from analysis.results import FLUENCY, named_score
from analysis.statistics.panels import CELL_COLUMNS, with_settings
from analysis.statistics.ratios import Ratio, ratio_table

_SHARES = {
    "distinct_1": "distinct-1", "distinct_2": "distinct-2", "distinct_3": "distinct-3",
    "repeated_4": "rep-4", "length": "length", "ended": "ended",
}  # fmt: skip
"""Column of the table -> the score that it is the mean of."""
_RATIOS = {
    "nats_per_token": Ratio("nats", "counted"),
    "judge_nats_per_token": Ratio("judge_nats", "judge_tokens"),
} | {name: Ratio(name, f"{name}_there") for name in _SHARES}
_PERPLEXITIES = {"perplexity": "nats_per_token", "judge_perplexity": "judge_nats_per_token"}


def fluency_table(results: pl.DataFrame, *, resamples: int = 2000, seed: int = 0) -> pl.DataFrame:
    """One row an (instance, arm, method, setting) at the end of training, all seeds together.

    `perplexity` (under the unsteered model) and `judge_perplexity` (under the other model, null without one) are exp of
    the nats of all texts by their tokens; `distinct_1` to `_3` are means over prompts, `repeated_4`, `length` (tokens
    generated) and `ended` (share that ended by itself) means over generations; all with `_low` and `_high` (95 %, over
    prompts and seeds). `generations` and `empty` are counts of all seeds.
    """
    measured = results.filter(pl.col("evaluation") == FLUENCY, pl.col("step").is_null())
    if measured.is_empty():
        return pl.DataFrame()
    value = pl.col("value").fill_nan(None)
    rows = with_settings(measured).with_columns(
        nats=value * pl.col("tokens"), counted=pl.when(value.is_not_null()).then("tokens"),
        judge_nats=named_score("judge nats"), judge_tokens=named_score("judge tokens"),
        **{name: named_score(score) for name, score in _SHARES.items()},
    )  # fmt: skip
    rows = rows.with_columns(pl.when(pl.col(name).is_not_null()).then(1.0).alias(f"{name}_there") for name in _SHARES)
    cell = ["instance", *CELL_COLUMNS]
    counts = rows.group_by(cell, maintain_order=True).agg(generations=pl.len(), empty=value.is_null().sum())
    figures = [
        ratio_table(of_one, _RATIOS, resamples=resamples, seed=seed).with_columns(instance=pl.lit(name, pl.String))
        for (name,), of_one in rows.group_by("instance", maintain_order=True)
    ]
    table = counts.join(pl.concat(figures), on=cell, how="left", nulls_equal=True).sort(cell)
    perplexities = {
        f"{name}{limit}": pl.col(f"{nats}{limit}").exp()
        for name, nats in _PERPLEXITIES.items()
        for limit in ("", "_low", "_high")
    }
    drop = [f"{nats}{limit}" for nats in _PERPLEXITIES.values() for limit in ("", "_low", "_high")]
    return table.with_columns(**perplexities).drop(drop)
