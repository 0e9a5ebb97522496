"""Figures of the trained models: probes of their heads, and held-out cross-entropy beside the unigram entropy."""

from __future__ import annotations

import polars as pl

from analysis.report.figures import Figure, FigurePanel, LegendEntry, Look, Trace, hover, points, spread
from analysis.report.words import arm_words, number

_UNIGRAM = 4  # index of the cross among the symbols


def probes_figure(heads: pl.DataFrame) -> Figure:
    """Distribution over heads of the probes' accuracy, a box an arm; `heads` has one row an arm and head."""
    traces: list[Trace] = []
    for (dose, policy), rows in sorted(heads.partition_by("dose", "policy", as_dict=True).items()):
        name = arm_words(dose, policy)
        texts = [hover(f"{name}, {head}", f"accuracy {number(value)}") for head, value in
                 rows.select("head", "accuracy").iter_rows()]  # fmt: skip
        trace = points([name] * rows.height, rows["accuracy"], name, Look(int(dose > 0), 0), texts)
        dots = {"size": 4, "opacity": 0.6, "color": trace["marker"]["color"]}
        box = {"type": "box", "boxpoints": "all", "jitter": 0.5, "pointpos": 0, "hoveron": "points", "marker": dots}
        traces.append({**trace, **box, "line": {"color": trace["line"]["color"], "width": 1.5}})
    return Figure(
        alt="Accuracy of linear probes over attention heads, one box an arm, one point a head.",
        panels=(FigurePanel("", tuple(traces)),),
        x_title="",
        y_title="probe accuracy, one point a head (mean over seeds)",
        y={"range": spread(heads["accuracy"]), "tickformat": "~g"},
    )


def training_figure(held_out: pl.DataFrame) -> Figure:
    """Held-out cross-entropy of each arm (mean over seeds) beside the unigram entropy, a panel a component."""
    keys = ["component", "dose", "policy"]
    means = held_out.group_by(keys).agg(pl.col("cross_entropy", "unigram_cross_entropy").mean()).sort(keys)
    panels = []
    for (component,), rows in means.partition_by("component", as_dict=True, maintain_order=True).items():
        names = [arm_words(dose, policy) for dose, policy in rows.select("dose", "policy").iter_rows()]
        series = (("model", "cross_entropy", Look(1, 0)), ("unigram", "unigram_cross_entropy", Look(0, _UNIGRAM)))
        traces = [
            points(names, rows[column], group, look, [_tooltip(n, group, v) for n, v in zip(names, rows[column],
                                                                                           strict=True)])
            for group, column, look in series
        ]  # fmt: skip
        panels.append(FigurePanel(f"held-out {component}", tuple(traces)))
    values = [*means["cross_entropy"], *means["unigram_cross_entropy"]]
    return Figure(
        alt="Held-out cross-entropy of each arm beside the entropy of a model that knows only how frequent tokens are.",
        panels=tuple(panels),
        x_title="",
        y_title="nats per token",
        y={"range": spread(values, from_zero=True), "tickformat": "~g"},
        legend=(LegendEntry("model", Look(1, 0)), LegendEntry("unigram", Look(0, _UNIGRAM))),
    )


def _tooltip(arm: str, group: str, value: float | None) -> str:
    return hover(f"{arm}, {group}", f"{number(value)} nats per token")
