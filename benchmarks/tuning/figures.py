"""Figures of tuned models beside the plain one: same prompts, same draws, paired intervals over prompts and seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from analysis.results import CROSS_ENTROPY, FILE, TOXICITY
from analysis.statistics.intervals import Array, Estimate, Panel, draw_weights, intervals

RESAMPLES = 4000

Folders = Mapping[str, Sequence[Path]]
"""Arm -> its analysis artifacts, one a training seed; the first arm is the plain model."""


@dataclass(frozen=True)
class Figure:
    """A figure of each arm, and its difference from the first arm's, each with its interval."""

    values: dict[str, Estimate]
    differences: dict[str, Estimate]


def mean_score(folders: Folders) -> Figure:
    """Mean score of the continuations by the scorer that counts."""
    return _figure(folders, TOXICITY, pl.col("value").sum(), pl.col("value").count())


def second_score(folders: Folders) -> Figure:
    """The same by the scorer that no tuning has seen."""
    second = pl.col("scores").list.get(1, null_on_oob=True).struct.field("score")
    return _figure(folders, TOXICITY, second.sum(), second.count())


def share_toxic(folders: Folders) -> Figure:
    """Share of continuations at or above 0.5."""
    return _figure(folders, TOXICITY, (pl.col("value") >= 0.5).sum(), pl.col("value").count())


def cross_entropy(folders: Folders) -> Figure:
    """Nats per token of held-out clean documents."""
    return _figure(folders, CROSS_ENTROPY, (pl.col("value") * pl.col("tokens")).sum(), pl.col("tokens").sum())


def _figure(folders: Folders, evaluation: str, top: pl.Expr, bottom: pl.Expr) -> Figure:
    panel = _panel(folders, evaluation, top, bottom)
    weights = draw_weights(np.random.default_rng(0), RESAMPLES, panel.clusters)
    values, replicates, per_seed = panel.values(), panel.replicates(weights), panel.per_seed()
    names = list(folders)
    own = intervals(values, replicates, per_seed, clusters=panel.clusters)
    apart = intervals(
        _apart(values), _apart(replicates), _apart(per_seed), clusters=panel.clusters, shared_reference=True
    )
    return Figure(dict(zip(names, own, strict=True)), dict(zip(names[1:], apart, strict=True)))


def _apart(figures: Array) -> Array:
    return figures[..., 1:] - figures[..., :1]


def _panel(folders: Folders, evaluation: str, top: pl.Expr, bottom: pl.Expr) -> Panel:
    """Arms × seeds × prompts (or documents)."""
    cells = [[_sums(folder, evaluation, top, bottom) for folder in of_seeds] for of_seeds in folders.values()]
    both = np.array(cells, np.float64)
    return Panel(both[..., 0], both[..., 1])


def _sums(folder: Path, evaluation: str, top: pl.Expr, bottom: pl.Expr) -> Array:
    rows = pl.read_parquet(folder / FILE).filter(pl.col("evaluation") == evaluation)
    return (
        rows.group_by("prompt")
        .agg(top.alias("top"), bottom.alias("bottom"))
        .sort("prompt")[["top", "bottom"]]
        .to_numpy()
    )
