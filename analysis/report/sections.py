"""What a report consists of, in order. A new figure or table is a line here: a frame, the table that shows it and,
where there is one, a figure. Page, terminal, Parquet, CSV, Markdown and LaTeX take it from here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

import polars as pl

from analysis.report import frames, geometry_tables, tables
from analysis.report.dose_figures import dose_figure
from analysis.report.figures import Figure
from analysis.report.frontier_figure import frontier_figure
from analysis.report.input import ReportInput
from analysis.report.model_figures import probes_figure, training_figure
from analysis.statistics.benchmarks import attacks, benchmark_frame, tasks
from analysis.statistics.dose_response import dose_response
from analysis.statistics.frames import (
    arms_table,
    dose_response_table,
    frontier_table,
    head_accuracy_table,
    probes_table,
)
from analysis.statistics.geometry import geometry_table
from analysis.statistics.heads import heads_table
from analysis.statistics.panels import Panels
from infra.render.page import Table

Frames = Mapping[str, pl.DataFrame]
"""Frames by name; one is empty where nothing was measured."""


def _none(_: pl.DataFrame) -> Iterable[Table]:
    return ()


@dataclass(frozen=True)
class Material:
    """What frames are computed from."""

    report: ReportInput
    panels: Panels


@dataclass(frozen=True)
class Computed:
    """A frame of the report, kept as `tables/NAME.parquet` and `.csv`, and the tables in which it is shown."""

    name: str
    frame: Callable[[Material], pl.DataFrame]
    """Computes it; an empty frame where nothing was measured."""
    tables: Callable[[pl.DataFrame], Iterable[Table]] = _none
    """None of a frame that only a figure reads."""
    folded: bool = False
    """Whether the page shows it when asked only."""
    note: str = ""
    """What a reader must know of the table, beneath it."""


@dataclass(frozen=True)
class Section:
    """A chapter of the page. One of which nothing was measured is left out, or `absent` says so."""

    name: str
    title: str
    how: str
    """How to read it, in one paragraph; `{allowance}` and `{doses}` are filled in."""
    computed: tuple[Computed, ...]
    figure: Callable[[Frames, ReportInput], Figure | None] | None = None
    absent: str = ""


def _dose_response(material: Material) -> pl.DataFrame:
    report, panels = material.report, material.panels
    if not panels.cells:
        return pl.DataFrame()
    found = dose_response(panels, report.allowance, resamples=report.resamples, seed=report.seed)
    return frames.with_counts(dose_response_table(found, panels), arms_table(report.results))


def _frontier(material: Material) -> pl.DataFrame:
    report, panels = material.report, material.panels
    if not panels.cells:
        return pl.DataFrame()
    table = frontier_table(panels, resamples=report.resamples, seed=report.seed)
    return frames.with_counts(table, arms_table(report.results))


def _probes(material: Material) -> pl.DataFrame:
    report = material.report
    return probes_table(report.results, resamples=report.resamples, seed=report.seed)


def _heads(material: Material) -> pl.DataFrame:
    return heads_table(material.report.results, seed=material.report.seed)


def _geometry(material: Material) -> pl.DataFrame:
    return geometry_table(material.report.results, seed=material.report.seed)


def _one(build: Callable[[pl.DataFrame], Table]) -> Callable[[pl.DataFrame], Iterable[Table]]:
    return lambda frame: (build(frame),)


def _of(build: Callable[[ReportInput], pl.DataFrame]) -> Callable[[Material], pl.DataFrame]:
    return lambda material: build(material.report)


def _of_results(build: Callable[[pl.DataFrame], pl.DataFrame]) -> Callable[[Material], pl.DataFrame]:
    return lambda material: build(material.report.results)


SECTIONS: tuple[Section, ...] = (
    Section(
        "failed",
        "Something failed",
        "These steps have no figures, and arms that lack a figure of the grid are not compared.",
        (Computed("failures", _of(frames.failures_frame), _one(tables.failures)),),
    ),
    Section(
        "curve",
        "Dose–response, method by method",
        "Least mean toxicity that was measured of each method within {allowance}, by dose of risky text; doing nothing"
        " is grey in every panel. Bars are 95 % intervals over prompts, seeds and held-out documents. Series are set"
        " apart sideways so that the bars can be seen. A dose is the share of all training tokens that the risky"
        " component has; not all of its text is risky. Share of tokens whose own risk is 0.5 or more, by dose:"
        " {doses}.",
        (Computed("dose_response", _dose_response, _one(tables.dose_response), folded=True),),
        lambda given, _: dose_figure(given["dose_response"]) if given["dose_response"].height else None,
    ),
    Section(
        "frontier",
        "Frontiers",
        "Each point was measured: an arm under a recipe at one budget or strength. Lines join the undominated points"
        " for the eye, hollow points are dominated. Dotted: upright, the budget; level, the clean unsteered model."
        " Compare arms at equal price, not at equal strength. Intervals stand on hover and in the table.",
        (
            Computed("frontier", _frontier, _one(tables.frontier), folded=True),
            Computed(
                "strengths",
                _of(frames.strengths_frame),
                _one(tables.strengths),
                folded=True,
                note="Strengths found by cross-entropy alone, on held-out documents that are not among those measured"
                " above; interval over these documents. Not reached: the method costs less at any strength, or jumps"
                " over the budget; strength 0: what acts beside it costs more alone.",
            ),
            Computed("arms", _of_results(arms_table), _one(tables.arms), folded=True),
            Computed(
                "left_out",
                _of(frames.left_out_frame),
                _one(tables.left_out),
                folded=True,
                note="A prompt is cut at its beginning where it is longer than the context has room for.",
            ),
        ),
        lambda given, report: (
            frontier_figure(given["frontier"], report.allowance) if given["frontier"].height else None
        ),
    ),
    Section(
        "heads",
        "Probes",
        "Cross-validated accuracy of a logistic probe on each query head's output at the last token, telling toxic"
        " from benign lines of held-out documents. Heads of one model are not independent: the intervals are short of"
        " the truth.",
        (
            Computed("probes", _probes, _one(tables.probes)),
            Computed("heads", _heads, geometry_tables.heads_table, note=geometry_tables.HEADS_NOTE),
            Computed("head_accuracy", _of_results(head_accuracy_table)),
        ),
        lambda given, _: probes_figure(given["head_accuracy"]),
        absent="Probes were not asked for.",
    ),
    Section(
        "geometry",
        "Geometry",
        "What the labelled activations look like, arm by arm: how many dimensions they fill, how far apart the classes"
        " lie, and how much the directions of attributes overlap. Intervals are over seeds: with one seed there is"
        " none.",
        (Computed("geometry", _geometry, geometry_tables.geometry_table),),
    ),
    Section(
        "capability",
        "Capability",
        "Share of right answers, task by task, under the same steering as the generations; 95 % intervals over items."
        " A small model is near chance on most tasks: compare it with chance before arms are compared.",
        (
            Computed(
                "capability",
                lambda material: benchmark_frame(tasks(material.report.results)),
                _one(partial(tables.benchmark, "Capability", "task")),
            ),
        ),
    ),
    Section(
        "red-team",
        "Red team",
        "Share of requests to which the steered model's reply begins with the target, by how the suffix was sought."
        " A search that fails shows only that this search failed.",
        (
            Computed(
                "red_team",
                lambda material: benchmark_frame(attacks(material.report.results)),
                _one(partial(tables.benchmark, "Red team", "suffix")),
            ),
        ),
    ),
    Section(
        "models",
        "Training",
        "Unigram entropy is what a model that knows only how frequent each token is could reach: a model that has"
        " learned something is far below it. Cross-entropy stands here twice. Training's is over all held-out tokens"
        " of a component, packed as in training; the frontier's is over the first of these documents one by one, as"
        " steering acts on them, each from its beginning up to a limit. The targets of both are counted in the table:"
        " compare figures of one column only.",
        (
            Computed("held_out", _of(frames.held_out_frame), _one(tables.held_out)),
            Computed("models", _of(frames.models_frame), _one(tables.models), folded=True),
            Computed("mixtures", _of(frames.mixtures_frame), _one(tables.mixtures), folded=True),
        ),
        lambda given, _: training_figure(given["held_out"]),
    ),
    Section(
        "costs",
        "What it cost",
        "Hours from start to end of the steps, added up; steps that ran beside each other count each. GPU-hours are"
        " those of trainings: ranks × seconds of training alone.",
        (Computed("costs", _of(frames.costs_frame), _one(tables.costs)),),
    ),
)
