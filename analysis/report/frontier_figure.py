"""Toxicity against its price: a panel for each dose and loss policy, all on one pair of axes, intervals on hover."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from analysis.report.figures import (
    SYMBOLS,
    Figure,
    FigurePanel,
    Look,
    Trace,
    dashed,
    figure_line,
    hover,
    legend,
    looks,
    methods_of,
    points,
    series_name,
    spread,
)
from analysis.report.words import arm_words, setting_words, unscored_words
from analysis.statistics.frames import ARM
from analysis.statistics.frontier import Allowance
from analysis.statistics.panels import NONE


def frontier_figure(table: pl.DataFrame, allowance: Allowance) -> Figure:
    """Every measured point of every arm; hollow where another setting of its method is better and cheaper."""
    cost = "cost" if allowance.counted_from == "own" else "cost_of_clean"
    styles = looks(methods_of(table))
    level = _clean_toxicity(table)
    shapes = [dashed(x=allowance.nats), *([] if level is None else [dashed(y=level)])]
    panels = [
        FigurePanel(arm_words(dose, policy, mixture), tuple(_traces(rows, cost, styles)), tuple(shapes))
        for (dose, policy, mixture), rows in sorted(
            table.partition_by(ARM, as_dict=True).items(), key=lambda item: item[0]
        )
    ]
    whose = "the arm's own" if allowance.counted_from == "own" else "the clean arm's"
    return Figure(
        alt="Mean toxicity against cost in cross-entropy, one panel a dose and loss policy, on the same axes.",
        panels=tuple(panels),
        x_title=f"cross-entropy above {whose} unsteered model, nats per token",
        y_title="mean toxicity",
        x={"range": spread(table[cost]), "tickformat": "~g", "nticks": 6},
        y={"range": spread(table["toxicity"], from_zero=True), "tickformat": "~g", "nticks": 6},
        legend=legend(styles),
    )


def _clean_toxicity(table: pl.DataFrame) -> float | None:
    """Of the clean unsteered arm, which panels are compared with."""
    rows = table.filter(pl.col("dose") == 0, pl.col("method") == NONE)
    return rows["toxicity"].first() if rows.height else None  # type: ignore[return-value]


def _traces(rows: pl.DataFrame, cost: str, styles: Mapping[str, Look]) -> list[Trace]:
    """For each method a line through its undominated points (doing nothing is one of them) and all its points."""
    unsteered = rows.filter(pl.col("method") == NONE)
    traces = []
    for method, look in styles.items():
        own = rows.filter(pl.col("method") == method).sort(cost)
        if own.is_empty():
            continue
        name = series_name(method)
        best = pl.concat([own, unsteered]).filter(pl.col("on_frontier")).unique(maintain_order=True).sort(cost)
        line = points(best[cost], best["toxicity"], name, look, []) | {"mode": "lines", "hoverinfo": "skip"}
        del line["hovertemplate"], line["hovertext"], line["marker"]
        dots = points(own[cost], own["toxicity"], name, look, map(_tooltip, own.to_dicts()))
        symbol = SYMBOLS[look.symbol]
        dots["marker"]["symbol"] = [symbol if whole else f"{symbol}-open" for whole in own["on_frontier"]]
        traces += [line, dots]
    return traces


def _tooltip(row: Mapping[str, Any]) -> str:
    return hover(
        f"{arm_words(row['dose'], row['policy'], row['mixture'])}, {setting_words(row)}",
        figure_line(row, "toxicity", "mean toxicity"),
        figure_line(row, "cost", "above own", "nats"),
        figure_line(row, "cost_of_clean", "above clean", "nats"),
        unscored_words(row),
    )
