"""Curves through the doses with their bands, a panel a method and loss policy, beside what was measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import polars as pl

from analysis.report.dose_figures import X_TITLE, dose_axis
from analysis.report.figures import (
    Figure,
    FigurePanel,
    Look,
    Trace,
    figure_line,
    hover,
    legend,
    looks,
    methods_of,
    points,
    series_name,
    spread,
)
from analysis.report.words import arm_words
from analysis.statistics.panels import NONE

_DASHES = {"smooth": "solid", "increasing": "dash"}
_EVERY = 2  # of the 101 doses of a curve, as many as a panel has room for, with both ends
_FAINT = 0.2  # opacity of a band: curves and other bands are seen through it


def fitted_figures(curves: pl.DataFrame, measured: pl.DataFrame) -> list[Figure]:
    """From the frames `curves` and `dose_response`: every method's curve beside that of doing nothing in grey, and the
    points that they were fitted to, which are those within the budget. None without a curve.
    """
    if curves.is_empty():
        return []
    styles, within = looks(methods_of(curves)), measured.filter("feasible")
    limits = [*curves["fit"], *curves["fit_high"], *within["toxicity"]]
    figure = Figure(
        alt="Curves fitted to mean toxicity within the budget over dose, with 95 % bands, one panel a method and loss"
        " policy; doing nothing in grey and dashed in every panel; points are what was measured.",
        panels=tuple(_panels(curves, within, styles)),
        x_title=X_TITLE,
        y_title="mean toxicity within the budget (lines by fit – solid: smooth, dash: can only rise)",
        x=dose_axis(measured),
        y={"range": spread(limits, from_zero=True), "tickformat": "~g", "nticks": 6},
        legend=legend(styles),
    )
    return [figure]


def _panels(curves: pl.DataFrame, within: pl.DataFrame, styles: Mapping[str, Look]) -> Iterator[FigurePanel]:
    steered = curves.filter(pl.col("method") != NONE)
    pairs = (steered if steered.height else curves).select("method", "policy").unique().sort("method", "policy")
    for method, policy in pairs.iter_rows():
        traces: list[Trace] = []
        for name in dict.fromkeys((NONE, method)):
            own = (pl.col("method") == name) & (pl.col("policy") == policy)
            words = series_name(name)
            traces += _fit(curves.filter(own), words, styles[name])
            traces.append(_measured(within.filter(own), words, styles[name]))
        yield FigurePanel(f"{series_name(method)}, loss policy: {policy}", tuple(traces))


def _fit(rows: pl.DataFrame, name: str, look: Look) -> Iterator[Trace]:
    """The band, as two unseen lines of which the second is filled down to the first, and the curve over it."""
    if rows.is_empty():
        return
    rows = rows.sort("dose").gather_every(_EVERY)
    x = {"x0": 100 * rows["dose"][0], "dx": 100 * (rows["dose"][-1] - rows["dose"][0]) / (rows.height - 1)}
    line = {"type": "scatter", "mode": "lines", "name": name, "legendgroup": name, **x}
    whole = {"color": look.colour, "simplify": False}  # Plotly leaves out points, and a smooth curve has corners
    edge = {"line": {**whole, "width": 0}, "fillcolor": f"{look.colour} / {_FAINT}"}
    for column, fill, words in (("fit_low", "none", "lower"), ("fit_high", "tonexty", "upper")):
        yield {**line, **edge, "y": list(rows[column]), "fill": fill, **_hover(f"{name}, {words} end of the band")}
    dash = _DASHES[rows["shape"][0]]
    yield {**line, "line": {**whole, "width": 2, "dash": dash}, "y": list(rows["fit"]), **_hover(f"{name}, fitted")}


def _hover(words: str) -> dict[str, str]:
    """What a place of a curve says; its numbers are put in by Plotly, as a text a place would double the page."""
    return {"hovertemplate": f"{hover(words)}<br>mean toxicity %{{y:.3f}} at dose %{{x:.3~g}} %<extra></extra>"}


def _measured(rows: pl.DataFrame, name: str, look: Look) -> Trace:
    texts = [hover(f"{arm_words(row['dose'], row['policy'], row['mixture'])}, {row['recipe']}",
                   figure_line(row, "toxicity", "measured: mean toxicity")) for row in rows.to_dicts()]  # fmt: skip
    dots = points([100 * dose for dose in rows["dose"]], rows["toxicity"], name, look, texts)
    return dots | {"marker": {**dots["marker"], "size": 7}}
