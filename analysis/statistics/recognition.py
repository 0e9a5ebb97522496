"""Recognition as AUROC: how often a toxic text gets a higher probability than a benign one, ties counting half.

Pairs are taken within a fold of the cross-validation alone: probabilities of two probes are on two scales. Texts are
resampled, with one draw for all models, so that differences between models are paired; seeds enter by their variance
(`analysis.statistics.intervals`). Texts of one document are resampled as if they were of many, so that intervals are a
little short where documents have many lines.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis.results import RECOGNITION
from analysis.statistics.by_cell import CELL_SCHEMA, Axes, Figures, estimate_columns, estimate_schema
from analysis.statistics.intervals import Array, draw_weights
from analysis.statistics.panels import CELL_COLUMNS, cell_of, with_settings

AUROCS: dict[str, pl.DataType] = {
    **CELL_SCHEMA, "instance": pl.String(), "texts": pl.Int64(), **estimate_schema("auroc", "above_own", "above_clean"),
}  # fmt: skip
"""The frame `recognition`: one row a cell and state. `instance` is null for the final hidden state, `layer N` for the
residual stream after a layer; `texts` is how many a model was asked for. `above_own` is the difference from the same
arm's unsteered model, `above_clean` from the clean unsteered one; null where that was not measured.
"""
TOXIC = "toxic"


def recognition_table(results: pl.DataFrame, *, resamples: int = 2000, seed: int = 0) -> pl.DataFrame:
    """The frame `recognition`; without rows where it was not measured. A model with a probability that is no number is
    left out.
    """
    rows = results.filter(pl.col("evaluation") == RECOGNITION, pl.col("step").is_null())
    frames = [
        _of_state(rows.filter(pl.col("instance").eq_missing(pl.lit(name, pl.String))), name, resamples, seed)
        for name in rows["instance"].unique().sort(nulls_last=False)
    ]
    return pl.concat([pl.DataFrame(schema=AUROCS), *frames])


def _of_state(rows: pl.DataFrame, instance: str | None, resamples: int, seed: int) -> pl.DataFrame:
    axes = Axes.of(rows)
    figures = auroc_figures(rows, axes, resamples, seed)
    texts = with_settings(rows).group_by([*CELL_COLUMNS, "seed"]).len().group_by(CELL_COLUMNS).agg(pl.col("len").max())
    asked = {cell_of(*key): count for *key, count in texts.iter_rows()}
    columns_of_frame = {
        **axes.columns(),
        "instance": pl.Series("instance", [instance] * len(axes.cells), dtype=pl.String),
        "texts": pl.Series("texts", [asked[cell] for cell in axes.cells]),
        **estimate_columns("auroc", figures.estimates(axes)),
        **estimate_columns("above_own", figures.above(axes.own(), axes)),
        **estimate_columns("above_clean", figures.above(axes.clean(), axes)),
    }
    return pl.DataFrame(columns_of_frame).select(AUROCS.keys())


def auroc_figures(rows: pl.DataFrame, axes: Axes, resamples: int, seed: int) -> Figures:
    """AUROC of the cells of `axes` from the rows of one state: nan under a seed where a probability is no number."""
    texts = rows["prompt_id"].unique().sort()
    weights = draw_weights(np.random.default_rng([seed, 0xA0C]), resamples, len(texts))
    per_seed = np.full((len(axes.seeds), len(axes.cells)), np.nan)
    replicates = np.full((len(axes.seeds), resamples, len(axes.cells)), np.nan)
    for (*key, of_seed), subject in with_settings(rows).group_by([*CELL_COLUMNS, "seed"]):
        if subject["value"].is_null().any() or subject["value"].is_nan().any():
            continue
        cell, number = axes.cells.index(cell_of(*key)), axes.seeds.index(of_seed)
        columns = (subject["value"].to_numpy(), (subject["group"] == TOXIC).to_numpy(), subject["sample"].to_numpy())
        at = texts.search_sorted(subject["prompt_id"]).to_numpy()
        per_seed[number, cell] = auroc(*columns, np.ones((1, len(subject))))[0]
        replicates[number, :, cell] = auroc(*columns, weights[:, at])
    return Figures(_mean(per_seed), _mean(replicates), per_seed, len(texts))


def _mean(by_seed: Array) -> Array:
    """Over the seeds that there are; nan where there is none."""
    known = np.isfinite(by_seed)
    total = np.where(known, by_seed, 0.0).sum(0)
    count = known.sum(0)
    return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)


def auroc(values: Array, toxic: NDArray[np.bool_], folds: NDArray[np.int64], weights: Array) -> Array:
    """AUROC [resamples] of `values` [n] for the labels `toxic` [n] under `weights` [resamples, n], over the pairs
    within `folds` [n]; nan where a resample holds no pair.
    """
    ranked, pairs = np.zeros((2, len(weights)))
    for fold in np.unique(folds):
        inside = folds == fold
        order = np.argsort(values[inside], kind="stable")
        at = np.flatnonzero(inside)[order]
        score, label, weight = values[at], toxic[at], weights[:, at]
        benign = np.cumsum(np.where(label, 0.0, weight), 1)
        below = np.concatenate([np.zeros((len(weights), 1)), benign], 1)
        first, last = (np.searchsorted(score, score[label], side=side) for side in ("left", "right"))
        ranked += (weight[:, label] * (below[:, first] + below[:, last]) / 2).sum(1)
        pairs += weight[:, label].sum(1) * benign[:, -1]
    return np.divide(ranked, pairs, out=np.full(len(weights), np.nan), where=pairs > 0)
