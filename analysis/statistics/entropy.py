"""Cross-entropy as a table: nats per token, and bits per byte, by which unlike tokenizers can be compared."""

from __future__ import annotations

import math

import polars as pl

from analysis.results import BYTES, CROSS_ENTROPY, named_score
from analysis.statistics.panels import CELL_COLUMNS, with_settings
from analysis.statistics.ratios import Ratio, ratio_table

_RATIOS = {
    "nats_per_token": Ratio("nats", "tokens"),
    "bits_per_byte": Ratio("nats", "bytes", scale=1 / math.log(2)),
}


def entropy_table(results: pl.DataFrame, *, resamples: int = 2000, seed: int = 0) -> pl.DataFrame:
    """One row an (instance, arm, method, setting) at the end of training, all seeds together.

    Columns: `instance` (null: the documents that count), dose, policy, mixture, method, by_budget, setting (a budget or
    a strength), `nats_per_token` and `bits_per_byte` with `_low` and `_high` (95 %, over documents and seeds),
    `documents`, `tokens` and `bytes` of one seed, and `unmeasured`: documents whose cross-entropy is no number. A cell
    with one of those has no figures: a model that cannot say how likely a text is would look better without it.
    """
    measured = results.filter(pl.col("evaluation") == CROSS_ENTROPY, pl.col("step").is_null())
    if measured.is_empty():
        return pl.DataFrame()
    value, tokens = pl.col("value").fill_nan(None), pl.col("tokens")
    rows = with_settings(measured).with_columns(
        nats=value * tokens, bytes=named_score(BYTES), unmeasured=value.is_null() & (tokens > 0)
    )
    cell = ["instance", *CELL_COLUMNS]
    counts = rows.group_by(cell, maintain_order=True).agg(
        documents=pl.col("prompt").n_unique(), seeds=pl.col("seed").n_unique(), tokens=tokens.sum(),
        bytes=pl.col("bytes").sum(), unmeasured=pl.col("unmeasured").sum(),
    )  # fmt: skip
    one_seed = [(pl.col(name) / pl.col("seeds")).round().cast(pl.Int64).alias(name) for name in ("tokens", "bytes")]
    usable = rows.join(rows.filter("unmeasured").select(cell), on=cell, how="anti", nulls_equal=True)
    figures = [
        ratio_table(of_one.drop("instance"), _RATIOS, resamples=resamples, seed=seed).with_columns(
            instance=pl.lit(name, pl.String)
        )
        for (name,), of_one in usable.group_by("instance", maintain_order=True)
    ]
    counted = counts.with_columns(one_seed).drop("seeds")
    if not figures:
        empty = [pl.lit(None, pl.Float64).alias(f"{name}{end}") for name in _RATIOS for end in ("", "_low", "_high")]
        return counted.with_columns(empty).sort(cell)
    return counted.join(pl.concat(figures), on=cell, how="left", nulls_equal=True).sort(cell)
