"""The shape of a report: sections of frames, each with the tables that show it, and figures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from analysis.report.figures import Figure
from analysis.report.input import ReportInput
from analysis.statistics.panels import Panels
from infra.render.page import Table

Frames = Mapping[str, pl.DataFrame]
"""Frames by name; one is empty where nothing was measured."""


@dataclass(frozen=True)
class Material:
    """What frames are computed from."""

    report: ReportInput
    panels: Panels


Build = Callable[[Material], pl.DataFrame]
Show = Callable[[pl.DataFrame], Iterable[Table]]
Draw = Callable[[Frames, ReportInput], Sequence[Figure]]


def unshown(_: pl.DataFrame) -> Iterable[Table]:
    """No table: the frame is read by a figure, or beside the page."""
    return ()


def undrawn(_: Frames, __: ReportInput) -> Sequence[Figure]:
    """No figure: the tables say it all."""
    return ()


@dataclass(frozen=True)
class Computed:
    """A frame of the report, kept as `tables/NAME.parquet` and `.csv`, and the tables in which it is shown."""

    name: str
    frame: Build
    """Computes it; an empty frame where nothing was measured."""
    tables: Show = unshown
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
    figures: Draw = undrawn
    absent: str = ""


def one(build: Callable[[pl.DataFrame], Table]) -> Show:
    """A frame that is shown in one table."""
    return lambda frame: (build(frame),)


def drawn(name: str, *figures: Callable[[pl.DataFrame], Figure | None]) -> Draw:
    """Figures of the frame NAME; none where it is empty."""

    def draw(frames: Frames, _: ReportInput) -> Sequence[Figure]:
        frame = frames[name]
        built = [figure(frame) for figure in figures] if frame.height else []
        return [figure for figure in built if figure is not None]

    return draw


def of_report(build: Callable[[ReportInput], pl.DataFrame]) -> Build:
    """A frame of the report's records."""
    return lambda material: build(material.report)


def of_results(build: Callable[[pl.DataFrame], pl.DataFrame]) -> Build:
    """A frame of the results without chance."""
    return lambda material: build(material.report.results)


def seeded(build: Callable[..., pl.DataFrame]) -> Build:
    """A frame of the results with the report's `seed`."""
    return lambda material: build(material.report.results, seed=material.report.seed)


def resampled(build: Callable[..., pl.DataFrame]) -> Build:
    """A frame of the results with the report's `resamples` and `seed`."""
    return lambda material: build(
        material.report.results, resamples=material.report.resamples, seed=material.report.seed
    )


def of_panels(build: Callable[..., pl.DataFrame], *, resamples: bool = True) -> Build:
    """A frame of panels and allowance, with the report's `seed` and, unless told otherwise, its `resamples`; empty
    without a cell.
    """

    def frame(material: Material) -> pl.DataFrame:
        report = material.report
        how = {"seed": report.seed} | ({"resamples": report.resamples} if resamples else {})
        return build(material.panels, report.allowance, **how) if material.panels.cells else pl.DataFrame()

    return frame
