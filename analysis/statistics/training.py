"""Steerability over training: what is measured at intermediate checkpoints, beside the end of training."""

from __future__ import annotations

import numpy as np
import polars as pl

from analysis.statistics.frames import ARM, estimate_columns, probes_table
from analysis.statistics.intervals import Array, Estimate, Panel, draw_weights, intervals
from analysis.statistics.panels import NONE, Cell, Panels, build

TRAINING = {
    "dose": pl.Float64(), "policy": pl.String(), "mixture": pl.String(), "step": pl.Int64(), "method": pl.String(),
    "budget": pl.Float64(), "strength_low": pl.Float64(), "strength_high": pl.Float64(),
    **{f"{figure}{end}": pl.Float64()
       for figure in ("toxicity", "taken_away", "cross_entropy", "probe_accuracy") for end in ("", "_low", "_high")},
}  # fmt: skip
"""A row a (arm, checkpoint, recipe, setting), all seeds together; `step` is null for the end of training. Figures have
95 % intervals. `taken_away` is the toxicity of the same checkpoint unsteered minus that under the recipe, paired;
`probe_accuracy` is the mean over heads of the unsteered checkpoint, in its row of the method none.
"""


def training_table(results: pl.DataFrame, *, resamples: int = 2000, seed: int = 0) -> pl.DataFrame:
    """The figures of every checkpoint (`TRAINING`); without rows where no checkpoint was measured."""
    steps = sorted(results["step"].drop_nulls().unique().to_list())
    tables = [_at(results, step, resamples, seed) for step in ([*steps, None] if steps else [])]
    return pl.concat([pl.DataFrame(schema=TRAINING), *tables]).sort(*ARM, "method", "budget", "step", nulls_last=True)


def _at(results: pl.DataFrame, step: int | None, resamples: int, seed: int) -> pl.DataFrame:
    """The rows of one checkpoint."""
    rows = results.filter(pl.col("step").eq_missing(step)).with_columns(step=pl.lit(None, pl.Int64))
    panels = build(rows)
    if not panels.cells:
        return pl.DataFrame(schema=TRAINING)
    prompts = draw_weights(np.random.default_rng([seed, 0x57E9]), resamples, panels.mean.clusters)
    documents = draw_weights(np.random.default_rng([seed, 0xD0C5]), resamples, panels.cross_entropy.clusters)
    columns = {
        **estimate_columns("toxicity", _levels(panels.mean, prompts, 1.0)),
        **estimate_columns("taken_away", _taken_away(panels, prompts)),
        **estimate_columns("cross_entropy", _levels(panels.cross_entropy, documents, np.inf)),
    }
    ranges = [panels.strengths[cell] for cell in panels.cells]
    cells = pl.DataFrame([_names(cell, step, *pair) for cell, pair in zip(panels.cells, ranges, strict=True)],
                         schema=list(TRAINING.items())[:8], orient="row")  # fmt: skip
    table = cells.with_columns(**columns)
    probes = probes_table(rows, resamples=resamples, seed=seed)
    if probes.is_empty():
        return table.select(pl.col(name) if name in table.columns else pl.lit(None, dtype).alias(name)
                            for name, dtype in TRAINING.items())  # fmt: skip
    accuracy = {
        "accuracy": "probe_accuracy",
        "accuracy_low": "probe_accuracy_low",
        "accuracy_high": "probe_accuracy_high",
    }
    heads = probes.select(*ARM, *accuracy).rename(accuracy).with_columns(method=pl.lit(NONE))
    return table.join(heads, on=[*ARM, "method"], how="left").select(TRAINING.keys())


def _names(cell: Cell, step: int | None, low: float, high: float) -> tuple[object, ...]:
    budget = cell.setting.value if cell.setting.by_budget else None
    return (*cell.arm, step, cell.method, budget, low, high)


def _levels(panel: Panel, weights: Array, highest: float) -> list[Estimate]:
    figures = (panel.values(), panel.replicates(weights), panel.per_seed())
    return intervals(*figures, clusters=panel.clusters, bounds=(0.0, highest))


def _taken_away(panels: Panels, weights: Array) -> list[Estimate | None]:
    """Unsteered minus steered of each cell, paired; None of what is unsteered itself, or was not measured so."""
    bases = {i: base for i, cell in enumerate(panels.cells)
             if cell.method != NONE and (base := panels.own_reference(cell)) is not None}  # fmt: skip
    estimates: list[Estimate | None] = [None] * len(panels.cells)
    if not bases:
        return estimates
    steered, plain = list(bases), list(bases.values())
    panel = panels.mean
    figures = (panel.values(), panel.replicates(weights), panel.per_seed())
    differences = (figure[..., plain] - figure[..., steered] for figure in figures)
    for i, estimate in zip(steered, intervals(*differences, clusters=panel.clusters), strict=True):
        estimates[i] = estimate
    return estimates
