"""What a figure of the page is: small panels that share both axes, drawn by Plotly in the browser.

Colours are names of the page's style sheet (`--series-1`), which has a light and a dark value for each; `LIGHT` gives
them to pictures. Every method has a colour and a symbol of its own, so that nothing is told by colour alone. What
stands on hover is written here, with the digits that a person reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

import polars as pl

from analysis.report.words import interval
from analysis.statistics.panels import NONE

Trace = dict[str, Any]
"""One trace of Plotly, as JSON."""

LIGHT = ("#5b6678", "#0072b2", "#c04a00", "#007a5a", "#a8437f", "#8a6100", "#5b4bc4", "#a3303b")
"""Of the series in print and in daylight: grey for doing nothing, then the methods."""
SYMBOLS = ("circle", "diamond", "square", "triangle-up", "cross", "x", "triangle-down", "star", "pentagon")
GLYPHS = ("●", "◆", "■", "▲", "✚", "✖", "▼", "★", "⬟")
DASHES = ("solid", "dash", "dot", "dashdot")


@dataclass(frozen=True)
class Look:
    """How a series is drawn."""

    series: int
    """Index into the colours; 0 is grey."""
    symbol: int

    @property
    def colour(self) -> str:
        """Its name in the style sheet."""
        return f"--series-{self.series}"


@dataclass(frozen=True)
class LegendEntry:
    """One series of a figure; its button shows and hides the traces of the same `legendgroup`."""

    name: str
    look: Look

    @property
    def glyph(self) -> str:
        """Its symbol as a letter."""
        return GLYPHS[self.look.symbol]


@dataclass(frozen=True)
class FigurePanel:
    """One of the small multiples."""

    title: str
    traces: tuple[Trace, ...]
    shapes: tuple[Trace, ...] = ()
    annotations: tuple[Trace, ...] = ()


@dataclass(frozen=True)
class Figure:
    """Panels on one pair of axes. `x` and `y` are Plotly's axes without titles, which stand beside the panels."""

    alt: str
    """What is drawn, for those who cannot see it."""
    panels: tuple[FigurePanel, ...]
    x_title: str
    y_title: str
    x: Mapping[str, Any] = field(default_factory=dict)
    y: Mapping[str, Any] = field(default_factory=dict)
    legend: tuple[LegendEntry, ...] = ()
    height: int | None = None
    """Of a panel, in pixels of the style sheet; its own where None. Panels with a height are wide ones."""

    def record(self) -> dict[str, Any]:
        """As the page's script reads it, with as many digits as can be seen."""
        panels = [
            {"data": panel.traces, "shapes": panel.shapes, "annotations": panel.annotations} for panel in self.panels
        ]
        record: dict[str, Any] = _short({"panels": panels, "xaxis": self.x, "yaxis": self.y})
        return record


def _short(value: Any) -> Any:
    """With five digits a number, which more than halves a page's figures."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, Mapping):
        return {key: _short(member) for key, member in value.items()}
    return [_short(member) for member in value] if isinstance(value, (list, tuple)) else value


def looks(names: Sequence[str], plain: str = NONE) -> dict[str, Look]:
    """A look for each name; that of `plain` is grey."""
    coloured = [name for name in names if name != plain]
    styles = {name: Look(1 + i % (len(LIGHT) - 1), 1 + i % (len(SYMBOLS) - 1)) for i, name in enumerate(coloured)}
    return {name: styles.get(name, Look(0, 0)) for name in names}


def legend(styles: Mapping[str, Look]) -> tuple[LegendEntry, ...]:
    """The legend of these looks."""
    return tuple(LegendEntry(series_name(name), look) for name, look in styles.items())


def series_name(method: str) -> str:
    """What a method is called in legends and titles."""
    return "unsteered" if method == NONE else method


def methods_of(table: pl.DataFrame) -> list[str]:
    """Methods in the order of legends: doing nothing first."""
    return sorted(table["method"].unique().to_list(), key=lambda name: (name != NONE, name))


def points(x: Iterable[Any], y: Iterable[Any], group: str, look: Look, hover: Iterable[str]) -> Trace:
    """Markers of one series with what stands on hover; the caller adds lines and bars."""
    return {
        "type": "scatter",
        "mode": "markers",
        "name": group,
        "legendgroup": group,
        "x": list(x),
        "y": list(y),
        "hovertext": list(hover),
        "hovertemplate": "%{hovertext}<extra></extra>",
        "line": {"color": look.colour, "width": 2},
        "marker": {"color": look.colour, "size": 8, "symbol": SYMBOLS[look.symbol]},
    }


def bars(rows: pl.DataFrame, name: str, look: Look) -> Trace:
    """Error bars from the columns NAME_low and NAME_high."""
    value, low, high = (rows[column].to_list() for column in (name, f"{name}_low", f"{name}_high"))
    known = [(v, a, b) if None not in (v, a, b) else (0.0, 0.0, 0.0) for v, a, b in zip(value, low, high, strict=True)]
    ends = {"array": [b - v for v, _, b in known], "arrayminus": [v - a for v, a, _ in known]}
    return {"type": "data", "symmetric": False, **ends, "color": look.colour, "thickness": 1.2, "width": 3}


def hover(*lines: str) -> str:
    """Lines of a tooltip: names come from configurations and are escaped."""
    return "<br>".join(escape(line, quote=False) for line in lines if line)


def figure_line(row: Mapping[str, Any], name: str, words: str, unit: str = "") -> str:
    """A figure with its interval, such as `mean toxicity 0.058 [0.036, 0.08]`; nothing where it is unknown."""
    value = interval(row, name)
    return f"{words} {value}{unit and ' ' + unit}" if value else ""


def dashed(x: float | None = None, y: float | None = None) -> Trace:
    """A dotted line across a panel at `x` or at `y`."""
    along, across = ("x", "y") if x is not None else ("y", "x")
    at = x if x is not None else y
    ends = {f"{along}0": at, f"{along}1": at, f"{across}0": 0, f"{across}1": 1, f"{across}ref": "paper"}
    return {"type": "line", **ends, "line": {"dash": "dot", "width": 1.5, "color": "--soft"}}


def spread(values: Iterable[float | None], *, from_zero: bool = False) -> list[float]:
    """Limits of an axis around the values, with a little air, the same for all panels."""
    known = [value for value in values if value is not None]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    air = 0.06 * (high - low) or 0.05
    return [0.0 if from_zero else low - air, high + air]
