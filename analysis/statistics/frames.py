"""The report's tables as Polars frames, each computed from the results table alone and kept as Parquet beside the
report.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from analysis.results import CROSS_ENTROPY, PROBES, TOXICITY, main
from analysis.settings import Setting
from analysis.statistics.dose_response import Point
from analysis.statistics.frontier import clean_reference, undominated
from analysis.statistics.intervals import Array, Estimate, Panel, draw_weights, intervals
from analysis.statistics.panels import NONE, UNSTEERED, Cell, Panels, head_panel
from analysis.statistics.verdict import steering_words

TOP_HEADS = 5
ARM = ["dose", "policy", "mixture"]
CELL = [*ARM, "method", "budget", "strength"]


def arms_table(results: pl.DataFrame) -> pl.DataFrame:
    """One row an (arm, seed, recipe, setting): toxicity in its three forms, cross-entropy, unscored generations."""
    keys = [*CELL, "seed"]
    results = main(results).with_columns(pl.col("value").fill_nan(None))
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
    joined = figures.join(maximum, on=keys, how="left", nulls_equal=True)
    joined = joined.join(entropy, on=keys, how="full", coalesce=True, nulls_equal=True)
    order = [*keys, "toxicity", "toxic_share", "expected_maximum", "cross_entropy", "generations", "unscored", "tokens"]
    return joined.select(*order, "documents", "scorer").sort(keys)


def frontier_table(panels: Panels, *, resamples: int = 2000, seed: int = 0) -> pl.DataFrame:
    """One row a cell, all seeds together, with intervals. `cost` is nats above the arm's own unsteered model,
    `cost_of_clean` above the clean unsteered one; `strength_low` and `strength_high` are those found under the seeds.
    """
    rng = np.random.default_rng([seed, 0xF207])
    prompts = draw_weights(rng, resamples, panels.mean.clusters)
    documents = draw_weights(rng, resamples, panels.cross_entropy.clusters)
    columns = {
        **estimate_columns("toxicity", _estimates(panels, panels.mean, prompts, (0.0, 1.0))),
        **estimate_columns("toxic_share", _estimates(panels, panels.probability, prompts, (0.0, 1.0))),
        **estimate_columns("expected_maximum", _estimates(panels, panels.maximum, prompts, (0.0, 1.0))),
        **estimate_columns("cross_entropy", _estimates(panels, panels.cross_entropy, documents, (0.0, np.inf))),
        **estimate_columns("cost", _own_costs(panels, documents)),
        **estimate_columns("cost_of_clean", _costs_of_clean(panels, documents)),
    }
    ranges = {**_cell_columns(panels.cells), **_strength_columns(panels.cells, panels)}
    order = [*ARM, "method", "budget", "strength_low"]
    return pl.DataFrame({**ranges, **columns, "on_frontier": _on_frontier(panels)}).sort(order)


def dose_response_table(points: Sequence[Point], panels: Panels) -> pl.DataFrame:
    """One row a (method, policy, dose): toxicity within the allowance, with its interval, and what was run."""
    cells = [p.cell for p in points]
    fixed = {
        "method": [p.method for p in points],
        "policy": [p.arm.policy for p in points],
        "dose": [p.arm.dose for p in points],
        "mixture": [p.arm.mixture for p in points],
        "recipe": [steering_words(cell, panels.strengths) for cell in cells],
        "budget": _cell_columns(cells)["budget"],
        **_strength_columns(cells, panels),
    }
    rest = {"feasible": [p.feasible for p in points], "within_budget": [p.within_budget for p in points]}
    schema = {"method": pl.String, "policy": pl.String, "dose": pl.Float64, "mixture": pl.String}
    return pl.DataFrame(
        {**fixed, **estimate_columns("toxicity", [p.toxicity for p in points]), **rest}, schema_overrides=schema
    )


def probes_table(results: pl.DataFrame, *, resamples: int = 2000, seed: int = 0) -> pl.DataFrame:
    """One row an arm: mean accuracy of the per-head probes, its difference from the clean arm, and the best heads.

    The intervals resample heads. Heads of one model are not independent, so they are short of the truth.
    """
    probes = probe_rows(results).with_columns(pl.col("value").fill_nan(None))
    if probes.is_empty():
        return pl.DataFrame()
    arms, panel = head_panel(probes)
    weights = draw_weights(np.random.default_rng([seed, 0x4EAD]), resamples, panel.clusters)
    mean = intervals(
        *_figures(panel, weights),
        clusters=panel.clusters,
        interactions=panel.interactions(np.arange(len(arms))),
        bounds=(0.0, 1.0),
    )
    base = next((i for i, arm in enumerate(arms) if arm.dose == 0), None)
    cells = tuple(Cell(arm, NONE, UNSTEERED) for arm in arms)
    columns = {**estimate_columns("accuracy", mean)}
    if base is not None:
        above = against(panel, weights, [base] * len(cells), _groups(cells), shared_reference=True)
        columns |= estimate_columns("above_clean", above)
    table = pl.DataFrame({**_cell_columns(cells), **columns}).drop("method", "budget")
    return table.join(_best_heads(probes), on=ARM, how="left").sort(ARM)


def probe_rows(results: pl.DataFrame) -> pl.DataFrame:
    """The probes of the pretrained models; a model that was tuned is probed too, under its recipe's name."""
    return main(results).filter(pl.col("evaluation") == PROBES, pl.col("method") == NONE)


def head_accuracy_table(results: pl.DataFrame) -> pl.DataFrame:
    """One row an arm and `head`: mean accuracy of its probe over seeds. Empty without probes."""
    probes = probe_rows(results).with_columns(pl.col("value").fill_nan(None))
    heads = probes.group_by([*ARM, "prompt", "prompt_id"]).agg(accuracy=pl.col("value").mean())
    return heads.sort([*ARM, "prompt"]).rename({"prompt_id": "head"}).drop("prompt") if heads.height else pl.DataFrame()


def _best_heads(probes: pl.DataFrame) -> pl.DataFrame:
    """The heads with the highest mean accuracy over seeds, in words."""
    heads = probes.group_by([*ARM, "prompt", "prompt_id"], maintain_order=True).agg(accuracy=pl.col("value").mean())
    ordered = heads.sort([*ARM, "accuracy", "prompt"], descending=[False, False, False, True, False])
    words = pl.format("{} {}", "prompt_id", pl.col("accuracy").round(3))
    return ordered.group_by(ARM, maintain_order=True).agg(
        best=pl.col("accuracy").first(), heads=pl.len(), top_heads=words.head(TOP_HEADS).str.join(", ")
    )


def _estimates(panels: Panels, panel: Panel, weights: Array, bounds: tuple[float, float]) -> list[Estimate]:
    """Intervals of every cell; cells of one method at one setting pool their seed variance over the arms."""
    values, draws, seeds = _figures(panel, weights)
    interactions = panel.interactions(np.arange(len(values)))
    estimates: dict[int, Estimate] = {}
    for group in _groups(panels.cells):
        pooled = intervals(
            values[group],
            draws[:, group],
            seeds[:, group],
            clusters=panel.clusters,
            interactions=interactions[group],
            bounds=bounds,
        )
        estimates |= dict(zip(group, pooled, strict=True))
    return [estimates[i] for i in range(len(panels.cells))]


def _own_costs(panels: Panels, weights: Array) -> list[Estimate]:
    """Cross-entropy above the arm's own unsteered, paired; nan where that was not measured."""
    bases = [panels.own_reference(cell) for cell in panels.cells]
    return against(panels.cross_entropy, weights, bases, _groups(panels.cells))


def _costs_of_clean(panels: Panels, weights: Array) -> list[Estimate]:
    """Cross-entropy above the clean unsteered arm's, paired; nan where there is no such arm."""
    reference = clean_reference(panels)
    base = None if reference is None else panels.index(reference)
    bases = [base] * len(panels.cells)
    return against(panels.cross_entropy, weights, bases, _groups(panels.cells), shared_reference=True)


def against(
    panel: Panel,
    weights: Array,
    bases: Sequence[int | None],
    groups: Sequence[list[int]],
    *,
    shared_reference: bool = False,
) -> list[Estimate]:
    """Differences of all figures from those at `bases`, paired; one that is its own base is zero and takes no part in
    pooling, one without a base is nan.

    Only the figures of a group pool their seed variance: strong steering differs from seed to seed far more than none.
    """
    nan = float("nan")
    base_of = {i: base for i, base in enumerate(bases) if base is not None}
    with_base = list(base_of)
    of, less = np.array(with_base, np.intp), np.array(list(base_of.values()), np.intp)
    values, draws, seeds = (f[..., of] - f[..., less] for f in _figures(panel, weights))
    interactions = panel.interactions(of, less)
    estimates = {i: Estimate(0.0, 0.0, 0.0, 0.0, 0.0) for i, base in base_of.items() if base == i}
    for group in groups:
        members = [i for i in group if base_of.get(i, i) != i]
        if not members:
            continue
        at = [with_base.index(i) for i in members]
        pooled = intervals(
            values[at],
            draws[:, at],
            seeds[:, at],
            clusters=panel.clusters,
            interactions=interactions[at],
            shared_reference=shared_reference,
        )
        estimates |= dict(zip(members, pooled, strict=True))
    return [estimates.get(i, Estimate(nan, nan, nan, nan, 0.0)) for i in range(len(bases))]


def _figures(panel: Panel, weights: Array) -> tuple[Array, Array, Array]:
    return panel.values(), panel.replicates(weights), panel.per_seed()


def _groups(cells: Sequence[Cell]) -> list[list[int]]:
    groups: dict[tuple[str, Setting], list[int]] = {}
    for i, cell in enumerate(cells):
        groups.setdefault((cell.method, cell.setting), []).append(i)
    return list(groups.values())


def _on_frontier(panels: Panels) -> list[bool]:
    """Whether a cell is undominated among its method's settings on its arm (doing nothing included)."""
    toxicity, entropy = panels.mean.values(), panels.cross_entropy.values()
    answer = []
    for i, cell in enumerate(panels.cells):
        group = panels.frontier_cells(cell.arm, cell.method)
        answer.append(bool(undominated(entropy[group], toxicity[group])[group.index(i)]))
    return answer


def _cell_columns(cells: Sequence[Cell]) -> dict[str, pl.Series]:
    rows = [(*cell.arm, cell.method, cell.setting.value if cell.setting.by_budget else None) for cell in cells]
    types = (pl.Float64, pl.String, pl.String, pl.String, pl.Float64)
    names = (*ARM, "method", "budget")
    return {name: pl.Series(name, [row[i] for row in rows], dtype=types[i]) for i, name in enumerate(names)}


def _strength_columns(cells: Sequence[Cell], panels: Panels) -> dict[str, pl.Series]:
    """Lowest and highest strength over seeds: one number where it was given, a range where it was found."""
    ranges = [panels.strengths[cell] for cell in cells]
    return {name: pl.Series(name, [r[i] for r in ranges], dtype=pl.Float64)
            for i, name in enumerate(("strength_low", "strength_high"))}  # fmt: skip


def estimate_columns(name: str, estimates: Sequence[Estimate | None]) -> dict[str, pl.Series]:
    """The columns `name`, `name_low` and `name_high`; null where there is no estimate, or no number."""
    ends = {name: "value", f"{name}_low": "low", f"{name}_high": "high"}
    return {
        column: pl.Series(
            column, [None if e is None else getattr(e, end) for e in estimates], dtype=pl.Float64
        ).fill_nan(None)  # `nan_to_null` looks at arrays only, not at lists
        for column, end in ends.items()
    }
