"""Published effects and figures against a study's own: sums and differences of its figures, with paired intervals.

A figure is a ratio of sums over seeds and clusters (`analysis.statistics.intervals`); an effect is a sum of some
minus the sum of as many others. Prompts, documents or heads are resampled once for all figures that are measured on
the same ones, so that differences are paired; effects on one figure pool their variance between seeds.
"""

from __future__ import annotations

import functools
import operator
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

from analysis import results
from analysis.published import EffectSpec, FigureName, OursSpec, Published
from analysis.settings import Setting
from analysis.statistics.by_cell import Axes
from analysis.statistics.controls import RELABELLED, as_clean
from analysis.statistics.intervals import Array, Estimate, Panel, draw_weights, intervals
from analysis.statistics.panels import UNSTEERED, Cell, build, head_panel
from analysis.statistics.recognition import auroc_figures

_Sums = tuple[tuple[OursSpec, ...], tuple[OursSpec, ...]]
"""Figures that are added, and figures that are taken away."""

Outcome = Literal["seen", "opposite", "not shown", "not measured"]
"""Whether the interval lies on the paper's side of zero, on the other, or holds zero."""

EFFECTS = {
    "paper": pl.String(), "where": pl.String(), "mark": pl.String(), "claim": pl.String(), "figure": pl.String(),
    "expected": pl.String(), "value": pl.Float64(), "value_low": pl.Float64(), "value_high": pl.Float64(),
    "outcome": pl.String(),
}  # fmt: skip
"""A row an effect: its difference in this study with a 95 % interval, null where it was not measured."""

BESIDE = {
    "paper": pl.String(), "where": pl.String(), "mark": pl.String(), "row": pl.Int64(), "what": pl.String(),
    "column": pl.String(), "ours": pl.Boolean(), "value": pl.Float64(), "value_low": pl.Float64(),
    "value_high": pl.Float64(),
}  # fmt: skip
"""A row a figure: a published one as it is printed, or (`ours`) one of this study with its 95 % interval."""


def effects_table(
    table: pl.DataFrame, published: Sequence[Published], *, resamples: int = 2000, seed: int = 0
) -> pl.DataFrame:
    """What of the published effects came out here, a row each (`EFFECTS`)."""
    figures = _Figures(table, resamples, seed)
    seeds = table["seed"].n_unique()
    effects = [(paper.paper, effect) for paper in published for effect in paper.effects]
    estimates = _by_figure(figures, [(effect.figure, (effect.of, effect.minus)) for _, effect in effects])
    rows = [
        (paper, effect.where, effect.mark, effect.claim, effect.figure, effect.expected,
         *_limits(estimate, *_range(effect)), _outcome(effect, estimate, seeds))
        for (paper, effect), estimate in zip(effects, estimates, strict=True)
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=EFFECTS, orient="row")


def beside_table(
    table: pl.DataFrame, published: Sequence[Published], *, resamples: int = 2000, seed: int = 0
) -> pl.DataFrame:
    """Published figures and ours, a row each (`BESIDE`)."""
    figures = _Figures(table, resamples, seed)
    rows: list[tuple[object, ...]] = []
    asked: list[tuple[FigureName, _Sums]] = []
    at: list[int] = []
    for paper in published:
        for section in paper.tables:
            for number, row in enumerate(section.rows):
                head = (paper.paper, section.where, section.mark, number, row.what)
                rows += [(*head, column, False, value, None, None)
                         for column, value in zip(section.columns, row.values, strict=True)]  # fmt: skip
                if row.ours is not None:
                    at += range(len(rows), len(rows) + len(section.ours))
                    asked += [(name, ((row.ours,), ())) for name in section.ours]
                    rows += [(*head, name, True) for name in section.ours]
    for index, (name, _), estimate in zip(at, asked, _by_figure(figures, asked), strict=True):
        rows[index] = (*rows[index], *_limits(estimate, 0.0, _largest(name)))
    return pl.DataFrame(rows, schema=BESIDE, orient="row")


@dataclass(frozen=True)
class _Term:
    """A figure: its value, replicates [resamples], value under each seed [seeds], and the number of clusters."""

    value: float
    replicates: Array
    per_seed: Array
    clusters: int

    def __add__(self, other: _Term) -> _Term:
        replicates, per_seed = self.replicates + other.replicates, self.per_seed + other.per_seed
        return _Term(self.value + other.value, replicates, per_seed, min(self.clusters, other.clusters))

    def __neg__(self) -> _Term:
        return _Term(-self.value, -self.replicates, -self.per_seed, self.clusters)


@dataclass(frozen=True)
class _Source:
    """One figure of many cells: values [cells], replicates [resamples, cells], values under each seed [seeds, cells];
    `lacking` were not measured under every seed.
    """

    cells: tuple[Cell, ...]
    values: Array
    replicates: Array
    per_seed: Array
    clusters: int
    lacking: frozenset[Cell] = frozenset()

    @classmethod
    def of_panel(cls, cells: tuple[Cell, ...], panel: Panel, weights: Array, lacking: frozenset[Cell]) -> _Source:
        figures = (panel.values(), panel.replicates(weights), panel.per_seed())
        return cls(cells, *figures, panel.clusters, lacking)

    def term(self, ours: OursSpec) -> _Term | None:
        """The figure that was asked for; None where it was not measured under every seed."""
        chosen = [i for i, cell in enumerate(self.cells) if _is(cell, ours)]
        if len(chosen) != 1 or self.cells[chosen[0]] in self.lacking:
            return None
        (i,) = chosen
        return _Term(float(self.values[i]), self.replicates[:, i], self.per_seed[:, i], self.clusters)


class _Figures:
    """The figures of a results table by what was measured where; panels are built once."""

    def __init__(self, table: pl.DataFrame, resamples: int, seed: int) -> None:
        self._table = as_clean(table)
        self._resamples = resamples
        self._seed = seed
        self._sources: dict[tuple[object, ...], _Source | None] = {}

    def term(self, name: FigureName, ours: OursSpec) -> _Term | None:
        key = (name, ours.step, ours.instance, ours.group, ours.method if name == "probe_accuracy" else None)
        if key not in self._sources:
            self._sources[key] = self._source(name, ours)
        source = self._sources[key]
        return None if source is None else source.term(ours)

    def _source(self, name: FigureName, ours: OursSpec) -> _Source | None:
        view = _view(self._table, _EVALUATION[name], ours)
        if name == "probe_accuracy":
            return self._probes(view, ours.method)
        if name == "auroc":
            return self._recognition(view)
        panels = build(view)
        if not panels.cells:
            return None
        panel = {"toxicity": panels.mean, "toxic_share": panels.probability, "expected_maximum": panels.maximum,
                 "cross_entropy": panels.cross_entropy}[name]  # fmt: skip
        lacking = frozenset(gap.cell for gap in panels.gaps)
        return _Source.of_panel(panels.cells, panel, self._weights(name, ours, panel.clusters), lacking)

    def _probes(self, view: pl.DataFrame, method: str) -> _Source | None:
        """Heads stand for clusters; of a tuned model under its recipe's name, whatever the setting."""
        rows = results.main(view).filter(pl.col("evaluation") == results.PROBES, pl.col("method") == method)
        if rows.is_empty():
            return None
        arms, panel = head_panel(rows)
        cells = tuple(Cell(arm, method, UNSTEERED) for arm in arms)
        weights = self._weights("probe_accuracy", OursSpec(), panel.clusters)
        return _Source.of_panel(cells, panel, weights, frozenset())

    def _recognition(self, view: pl.DataFrame) -> _Source | None:
        """Texts stand for clusters."""
        rows = results.main(view).filter(pl.col("evaluation") == results.RECOGNITION)
        if rows.is_empty():
            return None
        axes = Axes.of(rows)
        figures = auroc_figures(rows, axes, self._resamples, self._seed)
        unknown = np.flatnonzero(~np.isfinite(figures.per_seed).all(0))
        lacking = frozenset(axes.cells[i] for i in unknown)
        return _Source(axes.cells, figures.values, figures.replicates, figures.per_seed, figures.clusters, lacking)

    def _weights(self, name: FigureName, ours: OursSpec, clusters: int) -> Array:
        """One draw for all that is measured on the same prompts or documents."""
        measured_on = f"{_EVALUATION[name]} {ours.instance} {ours.group}"
        rng = np.random.default_rng([self._seed, zlib.crc32(measured_on.encode())])
        return draw_weights(rng, self._resamples, clusters)


_EVALUATION = {
    "toxicity": results.TOXICITY,
    "toxic_share": results.TOXICITY,
    "expected_maximum": results.TOXICITY,
    "cross_entropy": results.CROSS_ENTROPY,
    "probe_accuracy": results.PROBES,
    "auroc": results.RECOGNITION,
}


def _view(table: pl.DataFrame, evaluation: str, ours: OursSpec) -> pl.DataFrame:
    """The rows of a checkpoint and of an instance or a group of one evaluation, as if they were the main ones."""
    at_step = table.filter(pl.col("step").eq_missing(ours.step)).with_columns(step=pl.lit(None, pl.Int64))
    of_evaluation, instance = pl.col("evaluation") == evaluation, pl.col("instance")
    if ours.group is not None:
        at_step = at_step.filter(~of_evaluation | pl.col("group").eq_missing(ours.group))
    if ours.instance is None:
        return at_step
    of_instance = pl.when(of_evaluation).then(instance == ours.instance).otherwise(instance.is_null())
    return at_step.filter(of_instance.fill_null(False)).with_columns(instance=pl.lit(None, pl.String))


def _is(cell: Cell, ours: OursSpec) -> bool:
    """Whether a cell is the figure that was asked for."""
    arm, setting = cell.arm, cell.setting
    if ours.matched:
        same_arm = arm.mixture == f"{RELABELLED}{ours.dose:g}"
    else:
        same_arm = arm.dose == ours.dose and not arm.mixture.startswith(RELABELLED)
        same_arm = same_arm and (arm.dose == 0 or arm.policy == ours.policy)
    if ours.budget is not None:
        return same_arm and cell.method == ours.method and setting == Setting(True, ours.budget)
    if ours.strength is not None:
        return same_arm and cell.method == ours.method and setting == Setting(False, ours.strength)
    return same_arm and cell.method == ours.method


def _by_figure(figures: _Figures, sums: Sequence[tuple[FigureName, _Sums]]) -> list[Estimate | None]:
    """An estimate of each sum of figures minus another; those of one figure pool their variance between seeds."""
    estimates: list[Estimate | None] = [None] * len(sums)
    for name in dict.fromkeys(name for name, _ in sums):
        terms = {i: _combined(figures, name, *parts) for i, (other, parts) in enumerate(sums) if other == name}
        there = {i: term for i, term in terms.items() if term is not None}
        if not there:
            continue
        values, draws = np.array([t.value for t in there.values()]), np.stack([t.replicates for t in there.values()], 1)
        seeds, clusters = np.stack([t.per_seed for t in there.values()], 1), min(t.clusters for t in there.values())
        pooled = intervals(values, draws, seeds, clusters=clusters)
        for i, estimate in zip(there, pooled, strict=True):
            estimates[i] = estimate
    return estimates


def _combined(figures: _Figures, name: FigureName, plus: Sequence[OursSpec], minus: Sequence[OursSpec]) -> _Term | None:
    """The terms of one sum together; None where one was not measured under every seed."""
    added = [figures.term(name, ours) for ours in plus]
    taken = [figures.term(name, ours) for ours in minus]
    if any(term is None for term in (*added, *taken)):
        return None
    terms = [term for term in added if term] + [-term for term in taken if term]
    if len({term.per_seed.shape for term in terms}) > 1:
        return None
    return functools.reduce(operator.add, terms)


def _largest(figure: FigureName) -> float:
    """What a figure can be at most."""
    return np.inf if figure == "cross_entropy" else 1.0


def _range(effect: EffectSpec) -> tuple[float, float]:
    """What the difference of an effect can be at least and at most."""
    most = len(effect.of) * _largest(effect.figure)
    return -most, most


def _limits(estimate: Estimate | None, low: float, high: float) -> tuple[float | None, float | None, float | None]:
    """Value and limits, which end at `low` and `high`; null where there is none."""
    if estimate is None or not np.isfinite(estimate.value):
        return None, None, None
    if not np.isfinite([estimate.low, estimate.high]).all():
        return estimate.value, None, None
    return estimate.value, max(estimate.low, low), min(estimate.high, high)


def _outcome(effect: EffectSpec, estimate: Estimate | None, seeds: int) -> Outcome:
    """One seed shows nothing, nor does a difference without any noise."""
    if estimate is None or not np.isfinite(estimate.value):
        return "not measured"
    if seeds < 2 or not estimate.excludes_zero or not estimate.se > 1e-12:
        return "not shown"
    return "seen" if (estimate.value < 0) == (effect.expected == "below") else "opposite"
