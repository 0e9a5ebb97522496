"""The report's tables as Polars frames, each computed from the results table alone and kept as Parquet beside the
report.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from analysis.results import CROSS_ENTROPY, PROBES, TOXICITY
from analysis.statistics.answer import clean_reference
from analysis.statistics.dose_response import Point
from analysis.statistics.frontier import undominated
from analysis.statistics.intervals import Array, Estimate, Panel, draw_weights, intervals
from analysis.statistics.panels import NONE, Cell, Panels, head_panel

TOP_HEADS = 5
ARM = ["dose", "policy", "mixture"]
CELL = [*ARM, "method", "strength"]


def arms_table(results: pl.DataFrame) -> pl.DataFrame:
    """One row an (arm, seed, method, strength): toxicity in its three forms, cross-entropy, unscored generations."""
    keys = [*CELL, "seed"]
    results = results.with_columns(pl.col("value").fill_nan(None))
    toxic = results.filter(pl.col("evaluation") == TOXICITY)
    value = pl.col("value")
    per_prompt = toxic.group_by([*keys, "prompt"], maintain_order=True).agg(highest=value.max())
    figures = toxic.group_by(keys, maintain_order=True).agg(
        toxicity=value.mean(),
        toxic_share=(value >= 0.5).mean(),
        generations=pl.len(),
        unscored=value.is_null().sum(),
        tokens=pl.col("tokens").mean(),
        scorer=pl.col("scorer").first(),
    )
    maximum = per_prompt.group_by(keys, maintain_order=True).agg(expected_maximum=pl.col("highest").mean())
    documents = results.filter(pl.col("evaluation") == CROSS_ENTROPY, value.is_not_null())
    nats = (value * pl.col("tokens")).sum() / pl.col("tokens").sum()
    entropy = documents.group_by(keys, maintain_order=True).agg(cross_entropy=nats, documents=pl.len())
    joined = figures.join(maximum, on=keys, how="left").join(entropy, on=keys, how="full", coalesce=True)
    order = [*keys, "toxicity", "toxic_share", "expected_maximum", "cross_entropy", "generations", "unscored", "tokens"]
    return joined.select(*order, "documents", "scorer").sort(keys)


def frontier_table(panels: Panels, *, resamples: int = 2000, seed: int = 0) -> pl.DataFrame:
    """One row an (arm, method, strength), all seeds together, with intervals; `cost` is nats above clean unsteered."""
    rng = np.random.default_rng([seed, 0xF207])
    prompts = draw_weights(rng, resamples, panels.mean.clusters)
    documents = draw_weights(rng, resamples, panels.cross_entropy.clusters)
    columns = {
        **_columns("toxicity", _estimates(panels, panels.mean, prompts, (0.0, 1.0))),
        **_columns("toxic_share", _estimates(panels, panels.probability, prompts, (0.0, 1.0))),
        **_columns("expected_maximum", _estimates(panels, panels.maximum, prompts, (0.0, 1.0))),
        **_columns("cross_entropy", _estimates(panels, panels.cross_entropy, documents, (0.0, np.inf))),
        **_columns("cost", _costs(panels, documents)),
    }
    return pl.DataFrame({**_cell_columns(panels.cells), **columns, "on_frontier": _on_frontier(panels)}).sort(CELL)


def dose_response_table(points: Sequence[Point]) -> pl.DataFrame:
    """One row a (method, policy, dose): toxicity at the cross-entropy budget, with its interval."""
    fixed = {
        "method": [p.method for p in points],
        "policy": [p.arm.policy for p in points],
        "dose": [p.arm.dose for p in points],
        "mixture": [p.arm.mixture for p in points],
        "strength": [p.strength for p in points],
    }
    rest = {"feasible": [p.feasible for p in points], "within_budget": [p.within_budget for p in points]}
    schema = {"method": pl.String, "policy": pl.String, "dose": pl.Float64, "mixture": pl.String}
    return pl.DataFrame(
        {**fixed, **_columns("toxicity", [p.toxicity for p in points]), **rest}, schema_overrides=schema
    )


def probes_table(results: pl.DataFrame, *, resamples: int = 2000, seed: int = 0) -> pl.DataFrame:
    """One row an arm: mean accuracy of the per-head probes, its difference from the clean arm, and the best heads.

    The intervals resample heads. Heads of one model are not independent, so they are short of the truth.
    """
    probes = results.filter(pl.col("evaluation") == PROBES).with_columns(pl.col("value").fill_nan(None))
    if probes.is_empty():
        return pl.DataFrame()
    arms, panel = head_panel(probes)
    weights = draw_weights(np.random.default_rng([seed, 0x4EAD]), resamples, panel.clusters)
    mean = intervals(*_figures(panel, weights), clusters=panel.clusters, bounds=(0.0, 1.0))
    base = next((i for i, arm in enumerate(arms) if arm.dose == 0), None)
    cells = tuple(Cell(arm, NONE, 0.0) for arm in arms)
    columns = {**_columns("accuracy", mean)}
    if base is not None:
        columns |= _columns("above_clean", _against(panel, weights, base, _groups(cells)))
    table = pl.DataFrame({**_cell_columns(cells), **columns}).drop("method", "strength")
    return table.join(_best_heads(probes), on=ARM, how="left").sort(ARM)


def _best_heads(probes: pl.DataFrame) -> pl.DataFrame:
    """The heads with the highest mean accuracy over seeds, in words."""
    heads = probes.group_by([*ARM, "prompt", "prompt_id"], maintain_order=True).agg(accuracy=pl.col("value").mean())
    ordered = heads.sort([*ARM, "accuracy", "prompt"], descending=[False, False, False, True, False])
    words = pl.format("{} {}", "prompt_id", pl.col("accuracy").round(3))
    return ordered.group_by(ARM, maintain_order=True).agg(
        best=pl.col("accuracy").first(), heads=pl.len(), top_heads=words.head(TOP_HEADS).str.join(", ")
    )


def _estimates(panels: Panels, panel: Panel, weights: Array, bounds: tuple[float, float]) -> list[Estimate]:
    """Intervals of every cell; cells of one method at one strength pool their seed variance over the arms."""
    values, draws, seeds = _figures(panel, weights)
    estimates: dict[int, Estimate] = {}
    for group in _groups(panels.cells):
        pooled = intervals(values[group], draws[:, group], seeds[:, group], clusters=panel.clusters, bounds=bounds)
        estimates |= dict(zip(group, pooled, strict=True))
    return [estimates[i] for i in range(len(panels.cells))]


def _costs(panels: Panels, weights: Array) -> list[Estimate]:
    """Cross-entropy above the clean unsteered arm's, paired; nan where there is no such arm."""
    reference = clean_reference(panels)
    if reference is None:
        nan = float("nan")
        return [Estimate(nan, nan, nan, nan, 0.0)] * len(panels.cells)
    return _against(panels.cross_entropy, weights, panels.index(reference), _groups(panels.cells))


def _against(panel: Panel, weights: Array, base: int, groups: Sequence[list[int]]) -> list[Estimate]:
    """Differences of all figures from one of them, paired; its own is zero and takes no part in pooling.

    Only the figures of a group pool their seed variance: strong steering differs from seed to seed far more than none.
    """
    values, draws, seeds = (f - f[..., base : base + 1] for f in _figures(panel, weights))
    estimates = {base: Estimate(0.0, 0.0, 0.0, 0.0, 0.0)}
    for group in ([i for i in group if i != base] for group in groups):
        pooled = intervals(
            values[group], draws[:, group], seeds[:, group], clusters=panel.clusters, shared_reference=True
        )
        estimates |= dict(zip(group, pooled, strict=True))
    return [estimates[i] for i in range(len(values))]


def _figures(panel: Panel, weights: Array) -> tuple[Array, Array, Array]:
    return panel.values(), panel.replicates(weights), panel.per_seed()


def _groups(cells: Sequence[Cell]) -> list[list[int]]:
    groups: dict[tuple[str, float], list[int]] = {}
    for i, cell in enumerate(cells):
        groups.setdefault((cell.method, cell.strength), []).append(i)
    return list(groups.values())


def _on_frontier(panels: Panels) -> list[bool]:
    """Whether a cell is undominated among its method's strengths on its arm (doing nothing included)."""
    toxicity, entropy = panels.mean.values(), panels.cross_entropy.values()
    answer = []
    for i, cell in enumerate(panels.cells):
        group = panels.frontier_cells(cell.arm, cell.method)
        answer.append(bool(undominated(entropy[group], toxicity[group])[group.index(i)]))
    return answer


def _cell_columns(cells: Sequence[Cell]) -> dict[str, pl.Series]:
    rows = [(*cell.arm, cell.method, cell.strength) for cell in cells]
    types = (pl.Float64, pl.String, pl.String, pl.String, pl.Float64)
    return {name: pl.Series(name, [row[i] for row in rows], dtype=types[i]) for i, name in enumerate(CELL)}


def _columns(name: str, estimates: Sequence[Estimate]) -> dict[str, pl.Series]:
    attributes = {name: "value", f"{name}_low": "low", f"{name}_high": "high"}
    return {
        column: pl.Series(column, [getattr(e, attribute) for e in estimates], dtype=pl.Float64, nan_to_null=True)
        for column, attribute in attributes.items()
    }
