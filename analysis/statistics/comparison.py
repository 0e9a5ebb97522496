"""Two studies beside each other: what both measured, cell by cell, the second less the first.

Pairs are what they have in common: cells (dose, policy, mixture, recipe, setting), training seeds, and prompts by their
text (documents by their id), on which differences are taken before anything is averaged. What only one of them has is
counted and left out. Of many cells some differ by luck, so Holm's p-values stand beside the intervals of each alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.stats import t as student

from analysis.results import CROSS_ENTROPY, TOXICITY, main
from analysis.statistics.frames import against
from analysis.statistics.intervals import Array, Estimate, Panel, draw_weights
from analysis.statistics.panels import Cell, Panels, build
from analysis.statistics.simultaneous import holm
from infra.errors import InputError

FIRST, SECOND = "first", "second"
SIDES = (FIRST, SECOND)


@dataclass(frozen=True)
class CellDifference:
    """A cell that both studies measured: its figures, and the second less the first."""

    cell: Cell
    first: float
    second: float
    toxicity: Estimate
    """Difference of the mean toxicity."""
    holm: float
    """Its p-value among all cells of the comparison, by Holm's method."""
    cross_entropy: Estimate
    """Difference in nats per token."""


@dataclass(frozen=True)
class StudyComparison:
    """What two studies have in common, and how far it differs."""

    cells: tuple[CellDifference, ...]
    seeds: tuple[int, ...]
    prompts: int
    documents: int
    left_out: int
    """Cells that only one of the studies has."""


def compare(first: pl.DataFrame, second: pl.DataFrame, *, resamples: int = 2000, seed: int = 0) -> StudyComparison:
    """Compare two tables of results. Raises InputError where they have nothing in common, or other scorers."""
    _require_one_scorer(first, second)
    both = _paired(pl.concat([_of(main(first), FIRST), _of(main(second), SECOND)]))
    panels = build(both)
    pairs = _pairs(panels)
    if not pairs:
        raise InputError("the studies have no arm and recipe in common under the same seeds, prompts and documents")
    rng = np.random.default_rng([seed, 0xC03B])
    toxicity = _differences(panels, panels.mean, pairs, draw_weights(rng, resamples, panels.mean.clusters))
    documents = draw_weights(rng, resamples, panels.cross_entropy.clusters)
    entropy = _differences(panels, panels.cross_entropy, pairs, documents)
    adjusted = holm(np.array([_p_value(difference) for difference in toxicity]))
    values = panels.mean.values()
    cells = tuple(
        CellDifference(_plain(panels.cells[b]), float(values[a]), float(values[b]), mean, float(p), nats)
        for (a, b), mean, nats, p in zip(pairs, toxicity, entropy, adjusted, strict=True)
    )
    left_out = len(panels.cells) - 2 * len(pairs)
    return StudyComparison(cells, panels.seeds, panels.mean.clusters, panels.cross_entropy.clusters, left_out)


def _require_one_scorer(first: pl.DataFrame, second: pl.DataFrame) -> None:
    """Scores of two scorers are two scales."""
    scorers = [
        set(main(table).filter(pl.col("evaluation") == TOXICITY)["scorer"].drop_nulls()) for table in (first, second)
    ]
    if scorers[0] != scorers[1]:
        names = " and ".join(", ".join(sorted(names)) or "none" for names in scorers)
        raise InputError(f"toxicity is by other scorers: {names}; `hormesis rescore` scores a study by another one")


def _of(results: pl.DataFrame, side: str) -> pl.DataFrame:
    """The study's rows, its name before that of every mixture, so that its cells are told apart."""
    rows = results.filter(pl.col("evaluation").is_in([TOXICITY, CROSS_ENTROPY]))
    return rows.with_columns(side=pl.lit(side), mixture=pl.format("{}/{}", pl.lit(side), "mixture"))


def _paired(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of the seeds, prompts and documents that both have, which get common numbers."""
    name = pl.when(pl.col("evaluation") == TOXICITY).then("prompt_text").otherwise("prompt_id").alias("name")
    named = rows.with_columns(name)
    shared = named.group_by("evaluation", "name").agg(pl.col("side").n_unique().alias("sides"), pl.col("prompt").min())
    common = shared.filter(pl.col("sides") == len(SIDES)).sort("evaluation", "prompt", "name")
    numbered = common.with_columns(number=pl.int_range(pl.len()).over("evaluation")).select(
        "evaluation", "name", "number"
    )
    seeds = named.group_by("seed").agg(sides=pl.col("side").n_unique()).filter(pl.col("sides") == len(SIDES))
    paired = named.join(numbered, on=["evaluation", "name"]).join(seeds.select("seed"), on="seed")
    return paired.with_columns(prompt=pl.col("number")).select(rows.drop("side").columns)


def _pairs(panels: Panels) -> list[tuple[int, int]]:
    """Indices of the first study's and the second study's cell, for cells that have figures under every seed."""
    lacking = {gap.cell for gap in panels.gaps}
    index = {cell: i for i, cell in enumerate(panels.cells) if cell not in lacking}
    return [
        (index[twin], i)
        for cell, i in index.items()
        if _side(cell) == SECOND and (twin := _with_mixture(cell, f"{FIRST}/{_plain(cell).arm.mixture}")) in index
    ]


def _differences(panels: Panels, panel: Panel, pairs: Sequence[tuple[int, int]], weights: Array) -> list[Estimate]:
    bases: list[int | None] = [None] * len(panels.cells)
    for first, second in pairs:
        bases[second] = first
    groups: dict[object, list[int]] = {}
    for _, second in pairs:
        groups.setdefault((panels.cells[second].method, panels.cells[second].setting), []).append(second)
    estimates = against(panel, weights, bases, list(groups.values()))
    return [estimates[second] for _, second in pairs]


def _p_value(difference: Estimate) -> float:
    """Two-sided; 1 where nothing is known of the error."""
    if not difference.se > 0:
        return 1.0
    return float(2 * student.sf(abs(difference.value) / difference.se, difference.df))


def _side(cell: Cell) -> str:
    return cell.arm.mixture.partition("/")[0]


def _plain(cell: Cell) -> Cell:
    """The cell as its own study names it."""
    return _with_mixture(cell, cell.arm.mixture.partition("/")[2])


def _with_mixture(cell: Cell, mixture: str) -> Cell:
    return cell._replace(arm=cell.arm._replace(mixture=mixture))
