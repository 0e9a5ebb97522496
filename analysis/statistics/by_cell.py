"""Figures of cells with their intervals, as columns of a frame: what frames of sets, groups and recognition share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis.statistics.intervals import Array, Estimate, Panel, intervals
from analysis.statistics.panels import CELL_COLUMNS, NONE, UNSTEERED, Cell, cell_of, with_settings

CELL_SCHEMA: dict[str, pl.DataType] = {
    "dose": pl.Float64(),
    "policy": pl.String(),
    "mixture": pl.String(),
    "method": pl.String(),
    "budget": pl.Float64(),
    "strength_low": pl.Float64(),
    "strength_high": pl.Float64(),
}
"""Columns that say which cell a row is of: an arm under a recipe at a setting, all seeds together. `budget` is null
where strengths were given; the strengths are the lowest and highest over the seeds.
"""
_NAN = float("nan")
_UNKNOWN = Estimate(_NAN, _NAN, _NAN, _NAN, 0.0)
_NOTHING = Estimate(0.0, 0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Axes:
    """The cells and seeds of some rows of the results."""

    cells: tuple[Cell, ...]
    seeds: tuple[int, ...]
    strengths: Mapping[Cell, tuple[float, float]]

    @staticmethod
    def of(results: pl.DataFrame) -> Axes:
        """From rows of the results table."""
        strength = pl.col("strength")
        ranges = with_settings(results).group_by(CELL_COLUMNS).agg(low=strength.min(), high=strength.max())
        strengths = {cell_of(*row[:-2]): (row[-2], row[-1]) for row in ranges.iter_rows()}
        return Axes(tuple(sorted(strengths)), tuple(sorted(results["seed"].unique().to_list())), strengths)

    @cached_property
    def pools(self) -> list[list[int]]:
        """Cells that pool their variance between seeds: those of one method at one setting."""
        pools: dict[object, list[int]] = {}
        for number, cell in enumerate(self.cells):
            pools.setdefault((cell.method, cell.setting), []).append(number)
        return list(pools.values())

    def own(self) -> list[int | None]:
        """The index of every cell's arm doing nothing, where that was measured."""
        index = {cell: number for number, cell in enumerate(self.cells)}
        return [index.get(Cell(cell.arm, NONE, UNSTEERED)) for cell in self.cells]

    def clean(self) -> list[int | None]:
        """For every cell the index of the clean arm doing nothing; None where there is none."""
        unsteered = (i for i, cell in enumerate(self.cells) if cell.arm.dose == 0 and cell.method == NONE)
        return [next(unsteered, None)] * len(self.cells)

    def columns(self) -> dict[str, pl.Series]:
        """The columns of `CELL_SCHEMA`."""
        rows = [
            (*cell.arm, cell.method, cell.setting.value if cell.setting.by_budget else None, *self.strengths[cell])
            for cell in self.cells
        ]
        return {name: pl.Series(name, [row[i] for row in rows], dtype=kind)
                for i, (name, kind) in enumerate(CELL_SCHEMA.items())}  # fmt: skip


@dataclass(frozen=True)
class Figures:
    """One figure of n cells: `values` [n], `replicates` [resamples, n] over `clusters` of them, `per_seed` [seeds, n]
    (nan where a cell has no such seed).
    """

    values: Array
    replicates: Array
    per_seed: Array
    clusters: int

    @staticmethod
    def of(panel: Panel, weights: Array) -> Figures:
        """Of a panel [cells, seeds, clusters] under resampling weights [resamples, clusters]."""
        return Figures(panel.values(), panel.replicates(weights), panel.per_seed(), panel.clusters)

    def estimates(self, axes: Axes, bounds: tuple[float, float] = (0.0, 1.0)) -> list[Estimate]:
        """With intervals; cells of one method at one setting pool their variance between seeds."""
        estimates: dict[int, Estimate] = {}
        for pool in axes.pools:
            estimates |= zip(pool, self._together(np.array(pool), bounds=bounds), strict=True)
        return [estimates[i] for i in range(len(self.values))]

    def above(self, bases: Sequence[int | None], axes: Axes) -> list[Estimate]:
        """Paired differences from the cells `bases`; 0 of a cell from itself, nan where there is no base."""
        estimates = [_NOTHING if base == i else _UNKNOWN for i, base in enumerate(bases)]
        shared = len({base for base in bases if base is not None}) == 1
        for pool in axes.pools:
            pairs = [(i, base) for i in pool if (base := bases[i]) is not None and base != i]
            if pairs:
                of, less = np.array(pairs).T
                for i, estimate in zip(of, self._together(of, less, shared=shared), strict=True):
                    estimates[i] = estimate
        return estimates

    def _together(
        self,
        of: NDArray[np.intp],
        less: NDArray[np.intp] | None = None,
        bounds: tuple[float, float] = (-np.inf, np.inf),
        shared: bool = False,
    ) -> list[Estimate]:
        parts = (self.values, self.replicates, self.per_seed)
        values, replicates, per_seed = (p[..., of] if less is None else p[..., of] - p[..., less] for p in parts)
        return intervals(values, replicates, per_seed, clusters=self.clusters, bounds=bounds, shared_reference=shared)


def estimate_columns(name: str, estimates: Sequence[Estimate]) -> dict[str, pl.Series]:
    """NAME, NAME_low and NAME_high."""
    attributes = {name: "value", f"{name}_low": "low", f"{name}_high": "high"}
    return {
        column: pl.Series(column, [getattr(e, attribute) for e in estimates], dtype=pl.Float64).fill_nan(None)
        for column, attribute in attributes.items()
    }


def estimate_schema(*names: str) -> dict[str, pl.DataType]:
    """The types of those columns."""
    return {f"{name}{limit}": pl.Float64() for name in names for limit in ("", "_low", "_high")}
