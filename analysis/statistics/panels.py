"""From the results table to the arrays the statistics work on: cells, and panels of [cells, seeds, clusters]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import polars as pl

from analysis.results import CROSS_ENTROPY, TOXICITY
from analysis.statistics.intervals import Panel

NONE = "none"
"""The method that does nothing; it is strength 0 of every other method."""


class Treatment(NamedTuple):
    """What was trained, whatever the seed."""

    dose: float
    policy: str
    mixture: str


class Cell(NamedTuple):
    """One arm under one method at one strength, whatever the seed."""

    arm: Treatment
    method: str
    strength: float


class Gap(NamedTuple):
    """A cell of the grid that has no usable figures under a seed: its step failed, or what it measured is no number."""

    cell: Cell
    seed: int


@dataclass(frozen=True)
class Panels:
    """All figures of a study over the same cells and seeds.

    The grid is every arm under every method and strength that was measured on any of them; what of it is missing under
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

    def index(self, cell: Cell) -> int:
        return self.cells.index(cell)

    def arms(self) -> list[Treatment]:
        return sorted({cell.arm for cell in self.cells})

    def methods(self, arm: Treatment) -> list[str]:
        """Methods tried on the arm, `none` first."""
        return sorted({cell.method for cell in self.cells if cell.arm == arm}, key=lambda name: (name != NONE, name))

    def frontier_cells(self, arm: Treatment, method: str) -> list[int]:
        """Indices of the method's cells by strength, doing nothing first: it is open to every method."""
        chosen = [c for c in self.cells if c.arm == arm and c.method in (method, NONE)]
        return [self.index(c) for c in sorted(chosen, key=lambda c: (c.method != NONE, c.strength))]


CELL_COLUMNS = ["dose", "policy", "mixture", "method", "strength"]


def build(results: pl.DataFrame) -> Panels:
    """Panels over every cell that has both toxicity and cross-entropy."""
    measured = results.filter(pl.col("evaluation").is_in([TOXICITY, CROSS_ENTROPY]))
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
    )


def head_panel(probes: pl.DataFrame) -> tuple[tuple[Treatment, ...], Panel]:
    """Probe accuracies as arms and a panel [arms, seeds, heads]."""
    table = probes.with_columns(pl.col("value").fill_nan(None)).unique(
        ["dose", "policy", "mixture", "seed", "prompt"], keep="first", maintain_order=True
    )
    one = pl.col("value").is_not_null().cast(pl.Float64)
    table = table.with_columns(method=pl.lit(NONE), strength=pl.lit(0.0), one=one)
    cells = sorted(_cells(table))
    seeds = sorted(table["seed"].unique().to_list())
    panel = _panel(table.fill_null(0.0), (cells, seeds, sorted(table["prompt"].unique().to_list())), "value", "one")
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
    steerings = {(cell.method, cell.strength) for cell in cells}
    return [Cell(arm, *steering) for arm in sorted({cell.arm for cell in cells}) for steering in sorted(steerings)]


def _cells(table: pl.DataFrame) -> set[Cell]:
    rows = table.select(CELL_COLUMNS).unique().iter_rows()
    return {
        Cell(Treatment(dose, policy, mixture), method, strength) for dose, policy, mixture, method, strength in rows
    }


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
    for dose, policy, mixture, method, strength, seed, cluster, n, d in table.select(
        *CELL_COLUMNS, "seed", "prompt", numerator, denominator
    ).iter_rows():
        cell = cells.get(Cell(Treatment(dose, policy, mixture), method, strength))
        if cell is not None:
            at = (cell, seeds[seed], clusters[cluster])
            top[at], bottom[at] = n, d
    return Panel(top, bottom)
