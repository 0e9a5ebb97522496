"""Groups of prompts side by side: a dot plot a set, groups down its side, a panel a method, a series an arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import polars as pl

from analysis.report.figures import (
    Figure,
    FigurePanel,
    Look,
    Trace,
    bars,
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

_OF_SERIES, _OF_GROUP, _AROUND = 7, 14, 60  # pixels: a series' share of a group's row, the least row, axis and margins
_BAND = 0.7  # of a group's row that its series take up
_LONGEST = 24  # characters of a group's name beside the axis; the whole name stands on hover


def group_figures(groups: pl.DataFrame, frontier: pl.DataFrame, allowance: Allowance) -> list[Figure]:
    """From the frame `groups`, a figure a set. Of each method an arm has the setting that `shown_settings` names."""
    if groups.is_empty():
        return []
    shown = shown_settings(groups, frontier, allowance)
    sets = shown.partition_by("instance", as_dict=True, maintain_order=True)
    return [_figure(name, rows) for (name,), rows in sets.items()]


def shown_settings(groups: pl.DataFrame, frontier: pl.DataFrame, allowance: Allowance) -> pl.DataFrame:
    """The rows of `groups` of each arm's greatest setting of a method within the allowance, else of its least one, as
    the page's generations are of. So the number of panels is that of methods, and arms are compared at equal price.
    """
    by_budget, setting = pl.col("budget").is_not_null(), pl.coalesce("budget", "strength_low")
    cost = "cost" if allowance.counted_from == "own" else "cost_of_clean"
    cell = [*ARM, "method", "by_budget", "setting"]
    keyed = groups.with_columns(by_budget=by_budget, setting=setting)
    if frontier.is_empty():  # no arm has a cross-entropy
        priced = keyed.clear().select(*cell, cost=pl.lit(0.0))
    else:
        priced = frontier.with_columns(by_budget=by_budget, setting=setting).select(*cell, cost=cost)
    by_own_budget = pl.lit(allowance.counted_from == "own") & pl.col("by_budget")
    within = (pl.when(by_own_budget).then((pl.col("setting") <= allowance.nats) & (pl.col("strength_low") > 0))
                .otherwise(pl.col("cost") <= allowance.nats).fill_null(False))  # fmt: skip
    rank = pl.when("within").then("setting").otherwise(-pl.col("setting"))
    ranked = keyed.join(priced, on=cell, how="left").with_columns(within=within).sort("within", "by_budget", rank)
    key = ["instance", *ARM, "method", "group"]
    return ranked.unique(key, keep="last").select(groups.columns).sort(key)


def _figure(name: str | None, rows: pl.DataFrame) -> Figure:
    """One set."""
    whose = "the main prompts" if name is None else name
    groups = rows["group"].unique().sort().to_list()
    arms = sorted(rows.select(ARM).unique().iter_rows())
    styles = looks([arm_words(*arm) for arm in arms], plain="clean")
    panels = [
        FigurePanel(series_name(method),
                    tuple(_traces(rows.filter(pl.col("method") == method), arms, groups, styles)))
        for method in methods_of(rows)
    ]  # fmt: skip
    return Figure(
        alt=f"Mean toxicity by group of {whose}, one panel a method, each arm at the method's greatest setting within"
        " the budget of the answer, else at its least.",
        panels=tuple(panels),
        x_title="mean toxicity",
        y_title=f"groups of {whose}",
        x={"range": spread([*rows["toxicity"], *rows["toxicity_high"]], from_zero=True), "tickformat": "~g",
           "nticks": 6},
        y={"range": [len(groups) - 0.5, -0.5], "tickvals": list(range(len(groups))),
           "ticktext": [_label(group) for group in groups]},
        legend=legend(styles),
        height=_AROUND + len(groups) * max(_OF_GROUP, _OF_SERIES * len(arms)),
    )  # fmt: skip


def _traces(rows: pl.DataFrame, arms: Sequence[tuple[Any, ...]], groups: Sequence[str], styles: Mapping[str, Look]
            ) -> list[Trace]:  # fmt: skip
    """A series an arm, set apart within the rows of the groups."""
    traces = []
    for arm, own in rows.partition_by(ARM, as_dict=True, maintain_order=True).items():
        name, recipe = arm_words(*arm), setting_words(own.row(0, named=True))
        shift = _BAND * ((arms.index(arm) + 0.5) / len(arms) - 0.5)
        y = [groups.index(group) + shift for group in own["group"]]
        dots = points(own["toxicity"], y, name, styles[name], map(_tooltip, own.to_dicts()))
        dots["marker"]["size"] = 6
        # Arm and recipe stand here once: beside every group they would double the figure.
        dots["hovertemplate"] = f"{hover(f'{name}, {recipe}')}<br>{dots['hovertemplate']}"
        traces.append(dots | {"error_x": bars(own, "toxicity", styles[name]) | {"width": 0}})
    return traces


def _label(group: str) -> str:
    """A group's name beside the axis, which Plotly reads as HTML."""
    return escape(group if len(group) <= _LONGEST else f"{group[: _LONGEST - 1]}…", quote=False)


def _tooltip(row: Mapping[str, Any]) -> str:
    figure = figure_line(row, "toxicity", "mean toxicity")
    return hover(row["group"], figure, f"{row['prompts']:,} prompts", unscored_words(row))
