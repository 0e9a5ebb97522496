"""Ratios of sums as a table: a row a cell, all seeds together, with intervals over what was measured and over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from analysis.statistics.intervals import Estimate, Panel, draw_weights, intervals
from analysis.statistics.panels import CELL_COLUMNS, Cell, cell_of

_KEY_TYPES = (pl.Float64, pl.String, pl.String, pl.String, pl.Boolean, pl.Float64)


@dataclass(frozen=True)
class Ratio:
    """A figure: the sum of one column over the sum of another, times `scale`, where both are there."""

    numerator: str
    denominator: str
    scale: float = 1.0
    bounds: tuple[float, float] = (0.0, np.inf)


def ratio_table(
    rows: pl.DataFrame, ratios: Mapping[str, Ratio], *, resamples: int = 2000, seed: int = 0
) -> pl.DataFrame:
    """One row a cell (`CELL_COLUMNS`) with NAME, NAME_low and NAME_high of every ratio; null where nothing is known.

    `rows` have `CELL_COLUMNS`, `seed`, `prompt` (what is resampled, the same draw for all cells) and the columns that
    the ratios name. Cells of one method at one setting pool their variance over seeds.
    """
    cells = sorted({cell_of(*row) for row in rows.select(CELL_COLUMNS).unique().iter_rows()})
    keys = [(*cell.arm, cell.method, cell.setting.by_budget, cell.setting.value) for cell in cells]
    table = pl.DataFrame(keys, schema=dict(zip(CELL_COLUMNS, _KEY_TYPES, strict=True)), orient="row")
    for name, ratio in ratios.items():
        estimates = _estimates(rows, ratio, cells, resamples, seed)
        limits = {name: "value", f"{name}_low": "low", f"{name}_high": "high"}
        table = table.with_columns(
            pl.Series(column, [getattr(estimate, limit) for estimate in estimates], pl.Float64).fill_nan(None)
            for column, limit in limits.items()
        )
    return table


def _estimates(rows: pl.DataFrame, ratio: Ratio, cells: Sequence[Cell], resamples: int, seed: int) -> list[Estimate]:
    nan = float("nan")
    panel, known = _panel(rows, ratio, cells)
    if not panel.denominator.size:
        return [Estimate(nan, nan, nan, nan, 0.0)] * len(cells)
    weights = draw_weights(np.random.default_rng([seed, 0x5A71]), resamples, panel.clusters)
    values, draws, seeds = panel.values(), panel.replicates(weights), panel.per_seed()
    out: dict[int, Estimate] = {}
    for group in _groups(cells, known):
        pooled = intervals(
            values[group], draws[:, group], seeds[:, group], clusters=panel.clusters, bounds=ratio.bounds
        )
        out |= dict(zip(group, pooled, strict=True))
    return [out.get(index, Estimate(nan, nan, nan, nan, 0.0)) for index in range(len(cells))]


def _panel(rows: pl.DataFrame, ratio: Ratio, cells: Sequence[Cell]) -> tuple[Panel, list[int]]:
    """The sums as [cells, seeds, clusters], and the numbers of the cells that have any."""
    top, bottom = pl.col(ratio.numerator).cast(pl.Float64), pl.col(ratio.denominator).cast(pl.Float64)
    whole = rows.filter(top.is_not_null() & bottom.is_not_null())
    sums = whole.group_by([*CELL_COLUMNS, "seed", "prompt"], maintain_order=True).agg(
        (top * ratio.scale).sum().alias("top"), bottom.sum().alias("bottom")
    )
    numbers = {cell: number for number, cell in enumerate(cells)}
    seeds, prompts = ({key: i for i, key in enumerate(sorted(sums[name].unique()))} for name in ("seed", "prompt"))
    numerator, denominator = np.zeros((2, len(cells), len(seeds), len(prompts)))
    known = set()
    for *key, trained, prompt, n, d in sums.iter_rows():
        cell = numbers[cell_of(*key)]
        known.add(cell)
        numerator[cell, seeds[trained], prompts[prompt]] = n
        denominator[cell, seeds[trained], prompts[prompt]] = d
    return Panel(numerator, denominator).filled(), sorted(known)


def _groups(cells: Sequence[Cell], known: Sequence[int]) -> list[list[int]]:
    """Cells of one method at one setting, of those that have figures."""
    groups: dict[tuple[object, ...], list[int]] = {}
    for number in known:
        groups.setdefault((cells[number].method, cells[number].setting), []).append(number)
    return list(groups.values())
