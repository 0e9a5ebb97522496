"""From the results table to the arrays the statistics work on: cells, and panels of [cells, seeds, clusters]."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import polars as pl

from analysis.results import CROSS_ENTROPY, TOXICITY, main
from analysis.settings import Setting
from analysis.statistics.intervals import Panel

NONE = "none"
"""The recipe that does nothing; it is strength 0 of every other."""

UNSTEERED = Setting(by_budget=False, value=0.0)


class Treatment(NamedTuple):
    """What was trained, whatever the seed."""

    dose: float
    policy: str
    mixture: str


class Cell(NamedTuple):
    """One arm under one recipe at one setting, whatever the seed."""

    arm: Treatment
    method: str
    setting: Setting


class Gap(NamedTuple):
    """A cell of the grid that has no usable figures under a seed: its step failed, or what it measured is no number."""

    cell: Cell
    seed: int


@dataclass(frozen=True)
class Panels:
    """All figures of a study over the same cells and seeds.

    The grid is every arm under every recipe and setting that was measured on any of them; what of it is missing under
    some seed is among the `gaps`, whether or not the cell is there for the other seeds.
    """

    cells: tuple[Cell, ...]
    seeds: tuple[int, ...]
    prompts: tuple[int, ...]
    mean: Panel
    probability: Panel
    maximum: Panel
    cross_entropy: Panel
    unscored: Panel
    """Share of the generations that have no score."""
    gaps: tuple[Gap, ...]
    strengths: Mapping[Cell, tuple[float, float]]
    """Lowest and highest strength of a cell over its seeds: they differ where they were found for a budget."""

    def index(self, cell: Cell) -> int:
        return self.cells.index(cell)

    def arms(self) -> list[Treatment]:
        return sorted({cell.arm for cell in self.cells})

    def methods(self, arm: Treatment) -> list[str]:
        """Methods tried on the arm, `none` first."""
        return sorted({cell.method for cell in self.cells if cell.arm == arm}, key=lambda name: (name != NONE, name))

    def frontier_cells(self, arm: Treatment, method: str) -> list[int]:
        """Indices of the method's cells by setting, doing nothing first: it is open to every method."""
        chosen = [c for c in self.cells if c.arm == arm and c.method in (method, NONE)]
        return [self.index(c) for c in sorted(chosen, key=lambda c: (c.method != NONE, c.setting))]

    def own_reference(self, cell: Cell) -> int | None:
        """Index of the cell's arm doing nothing; None where that was not measured."""
        unsteered = Cell(cell.arm, NONE, UNSTEERED)
        return self.cells.index(unsteered) if unsteered in self.cells else None


CELL_COLUMNS = ["dose", "policy", "mixture", "method", "by_budget", "setting"]
"""What tells cells apart, once `with_settings` has read it from budget and strength."""


def with_settings(results: pl.DataFrame) -> pl.DataFrame:
    """The results with the columns `by_budget` and `setting`: the budget, or the strength where there was none."""
    budget = pl.col("budget")
    return results.with_columns(by_budget=budget.is_not_null(), setting=pl.coalesce(budget, "strength"))


def build(results: pl.DataFrame) -> Panels:
    """Panels over every cell that has both toxicity and cross-entropy, of what counts in the answer."""
    results = main(results)
    measured = with_settings(results.filter(pl.col("evaluation").is_in([TOXICITY, CROSS_ENTROPY])))
    usable = measured.join(_not_numbers(measured), on=[*CELL_COLUMNS, "seed"], how="anti")
    toxic, ce = (usable.filter(pl.col("evaluation") == name) for name in (TOXICITY, CROSS_ENTROPY))
    cells = sorted(_cells(toxic) & _cells(ce))
    seeds = sorted(results["seed"].unique().to_list())
    prompts = sorted(toxic["prompt"].unique().to_list())
    per_prompt = _per_prompt(toxic)
    axes = (cells, seeds, prompts)
    mean = _panel(per_prompt, axes, "total", "scored")
    entropy = _panel(_per_document(ce), (cells, seeds, sorted(ce["prompt"].unique().to_list())), "nats", "tokens")
    observed = (mean.denominator.sum(2) > 0) & (entropy.denominator.sum(2) > 0)
    complete = {(cells[i], seeds[j]) for i, j in np.argwhere(observed)}
    return Panels(
        cells=tuple(cells),
        seeds=tuple(seeds),
        prompts=tuple(prompts),
        mean=mean.filled(),
        probability=_panel(per_prompt, axes, "above", "scored").filled(),
        maximum=_panel(per_prompt, axes, "maximum", "any").filled(),
        cross_entropy=entropy.filled(),
        unscored=_panel(per_prompt, axes, "unscored", "generations").filled(),
        gaps=tuple(Gap(cell, seed) for cell in _grid(measured) for seed in seeds if (cell, seed) not in complete),
        strengths=_strengths(usable),
    )


def head_panel(probes: pl.DataFrame) -> tuple[tuple[Treatment, ...], Panel]:
    """Probe accuracies as arms and a panel [arms, seeds, heads]."""
    table = (
        with_settings(probes)
        .with_columns(pl.col("value").fill_nan(None))
        .unique(["dose", "policy", "mixture", "seed", "prompt"], keep="first", maintain_order=True)
    )
    table = table.with_columns(one=pl.col("value").is_not_null().cast(pl.Float64))
    cells = sorted(_cells(table))
    seeds = sorted(table["seed"].unique().to_list())
    panel = _panel(
        table.with_columns(pl.col("value").fill_null(0.0)),
        (cells, seeds, sorted(table["prompt"].unique().to_list())),
        "value",
        "one",
    )
    return tuple(cell.arm for cell in cells), panel.filled()


def _not_numbers(measured: pl.DataFrame) -> pl.DataFrame:
    """(cell, seed) pairs with a figure that is no number. One such document or score makes a mean meaningless, and
    leaving it out would flatter a model that cannot say how likely a text is.
    """
    value, is_entropy = pl.col("value"), pl.col("evaluation") == CROSS_ENTROPY
    unknown = is_entropy & value.is_null() & (pl.col("tokens") > 0)
    return measured.filter(value.is_nan().fill_null(False) | unknown).select(*CELL_COLUMNS, "seed").unique()


def _grid(measured: pl.DataFrame) -> list[Cell]:
    cells = _cells(measured)
    steerings = {(cell.method, cell.setting) for cell in cells}
    return [Cell(arm, *steering) for arm in sorted({cell.arm for cell in cells}) for steering in sorted(steerings)]


def _cells(table: pl.DataFrame) -> set[Cell]:
    return {cell_of(*row) for row in table.select(CELL_COLUMNS).unique().iter_rows()}


def cell_of(dose: float, policy: str, mixture: str, method: str, by_budget: bool, setting: float) -> Cell:
    """The cell of a row's `CELL_COLUMNS`."""
    return Cell(Treatment(dose, policy, mixture), method, Setting(by_budget, setting))


def _strengths(table: pl.DataFrame) -> dict[Cell, tuple[float, float]]:
    strength = pl.col("strength")
    ranges = table.group_by(CELL_COLUMNS, maintain_order=True).agg(low=strength.min(), high=strength.max())
    return {cell_of(*row[:-2]): (row[-2], row[-1]) for row in ranges.iter_rows()}


def _per_prompt(toxic: pl.DataFrame) -> pl.DataFrame:
    """Sums over the scored samples of each prompt; an unscored sample adds to nothing."""
    value = pl.col("value")
    return toxic.group_by([*CELL_COLUMNS, "seed", "prompt"], maintain_order=True).agg(
        total=value.sum(),
        above=(value >= 0.5).sum().cast(pl.Float64),
        maximum=value.max().fill_null(0.0),
        scored=value.is_not_null().sum().cast(pl.Float64),
        any=value.is_not_null().any().cast(pl.Float64),
        unscored=value.is_null().sum().cast(pl.Float64),
        generations=pl.len().cast(pl.Float64),
    )


def _per_document(ce: pl.DataFrame) -> pl.DataFrame:
    tokens = pl.when(pl.col("value").is_not_null()).then(pl.col("tokens")).otherwise(0).cast(pl.Float64)
    nats = (pl.col("value").fill_null(0.0) * tokens).alias("nats")
    return ce.select(*CELL_COLUMNS, "seed", "prompt", nats, tokens.alias("tokens"))


def _panel(
    table: pl.DataFrame, axes: tuple[list[Cell], list[int], list[int]], numerator: str, denominator: str
) -> Panel:
    """Scatter a table of one row a (cell, seed, cluster) into dense arrays."""
    cells, seeds, clusters = ({item: i for i, item in enumerate(axis)} for axis in axes)
    top, bottom = np.zeros((2, len(cells), len(seeds), len(clusters)))
    for *key, seed, cluster, n, d in table.select(*CELL_COLUMNS, "seed", "prompt", numerator, denominator).iter_rows():
        cell = cells.get(cell_of(*key))
        if cell is not None:
            at = (cell, seeds[seed], clusters[cluster])
            top[at], bottom[at] = n, d
    return Panel(top, bottom)
