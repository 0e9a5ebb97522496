"""The dose–response curve: with the chosen recipes marked for the first screen, and method by method below."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from analysis.report.figures import (
    DASHES,
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
from analysis.report.words import arm_words, number, percent, unscored_words
from analysis.statistics.panels import NONE
from analysis.statistics.verdict import Answer

_DODGE = 0.35  # points of dose by which series are set apart, so that intervals do not cover each other
X_TITLE = "dose: risky component, % of all tokens"
Y_TITLE = "mean toxicity within the budget"


@dataclass(frozen=True)
class Chosen:
    """A recipe of the answer, where it stands on the curve: measured on all prompts, as the curve is."""

    role: str
    dose: float
    policy: str
    method: str
    toxicity: float
    words: str


def chosen_recipes(answer: Answer, frontier: pl.DataFrame, cells: Sequence[Any]) -> list[Chosen]:
    """The best clean and the best risky recipe of the answer, by their cells' rows of the frontier."""
    marks = []
    for role, choice in (("clean best", answer.clean), ("risky best", answer.risky)):
        if choice is None:
            continue
        cell = cells[choice.recipe.cell]
        budget = cell.setting.value if cell.setting.by_budget else None
        row = frontier.filter(
            pl.col("dose") == cell.arm.dose,
            pl.col("policy") == cell.arm.policy,
            pl.col("mixture") == cell.arm.mixture,
            pl.col("method") == cell.method,
            pl.col("budget").eq_missing(budget),
            pl.lit(cell.setting.by_budget) | (pl.col("strength_low") == cell.setting.value),
        ).row(0, named=True)
        marks.append(Chosen(role, cell.arm.dose, cell.arm.policy, cell.method, row["toxicity"], choice.words))
    return marks


def headline_figure(table: pl.DataFrame, marks: Sequence[Chosen]) -> Figure:
    """A panel for each loss policy: doing nothing and the methods of the chosen recipes with their intervals, the
    other methods thin.
    """
    methods, top = methods_of(table), _toxicities(table)["range"][1]
    styles, loud = looks(methods), {NONE, *(mark.method for mark in marks)}
    panels = []
    for policy in _policies(table):
        traces = []
        for method in sorted(methods, key=lambda name: name in loud):
            rows = table.filter(pl.col("policy") == policy, pl.col("method") == method).sort("dose")
            traces.append(_curve(rows, method, styles[method], _shift(method, methods), quiet=method not in loud))
        here = [mark for mark in marks if mark.dose == 0 or mark.policy == policy]  # every curve begins at clean
        traces += [_mark(mark, styles[mark.method], _shift(mark.method, methods)) for mark in here]
        labels = tuple(_label(mark, _shift(mark.method, methods), top) for mark in here)
        panels.append(FigurePanel(f"loss policy: {policy}", tuple(traces), annotations=labels))
    alt = "Mean toxicity within the budget over dose, one panel a loss policy. " + " ".join(
        f"The {mark.role}: {mark.words}, mean toxicity {mark.toxicity:.3f}." for mark in marks
    )
    return Figure(alt, tuple(panels), X_TITLE, Y_TITLE, dose_axis(table), _toxicities(table), legend(styles))


def dose_figure(table: pl.DataFrame) -> Figure:
    """A panel for each method beside doing nothing, loss policies by the dash of the line."""
    methods, policies = methods_of(table), _policies(table)
    styles = looks(methods)
    panels = []
    for method in [name for name in methods if name != NONE] or [NONE]:
        traces = []
        for policy, name in [(policy, name) for name in dict.fromkeys((NONE, method)) for policy in policies]:
            rows = table.filter(pl.col("policy") == policy, pl.col("method") == name).sort("dose")
            place = policies.index(policy) + len(policies) * (name != NONE)
            shift = _DODGE * (place - (2 * len(policies) - 1) / 2)
            trace = _curve(rows, name, styles[name], shift)
            trace["line"] = {**trace["line"], "dash": DASHES[policies.index(policy) % len(DASHES)]}
            traces.append(trace)
        panels.append(FigurePanel(method, tuple(traces)))
    lines = ", ".join(f"{DASHES[i % len(DASHES)]}: {policy}" for i, policy in enumerate(policies))
    alt = "Mean toxicity within the budget over dose, one panel a method, doing nothing in grey in every panel."
    title = f"{Y_TITLE} (lines by loss policy – {lines})" if len(policies) > 1 else Y_TITLE
    return Figure(alt, tuple(panels), X_TITLE, title, dose_axis(table), _toxicities(table))


def _curve(rows: pl.DataFrame, method: str, look: Look, shift: float, *, quiet: bool = False) -> Trace:
    name = series_name(method)
    x = [100 * dose + shift for dose in rows["dose"]]
    trace = points(x, rows["toxicity"], name, look, map(_tooltip, rows.to_dicts())) | {"mode": "lines+markers"}
    if quiet:
        return trace | {"opacity": 0.6, "line": {"color": look.colour, "width": 1}, "marker": _small(trace["marker"])}
    return trace | {"error_y": bars(rows, "toxicity", look)}


def _small(marker: Mapping[str, Any]) -> Trace:
    return {**marker, "size": 5}


def _mark(mark: Chosen, look: Look, shift: float) -> Trace:
    text = hover(f"{mark.role}: {mark.words}", f"mean toxicity {number(mark.toxicity)} over all prompts")
    trace = points([100 * mark.dose + shift], [mark.toxicity], mark.role, look, [text])
    ring = {"symbol": "circle-open", "size": 19, "color": "--ink", "line": {"width": 2.5, "color": "--ink"}}
    return trace | {"marker": ring, "cliponaxis": False}


def _label(mark: Chosen, shift: float, top: float) -> Trace:
    """The mark's name near the foot of the panel, where curves hardly ever are, with a line up to its ring."""
    x, foot = 100 * mark.dose + shift, (0.17 if mark.dose == 0 else 0.06) * top
    ends = {"x": x, "y": mark.toxicity, "ax": x, "ay": foot, "axref": "x", "ayref": "y", "standoff": 10}
    look = {"arrowhead": 0, "arrowwidth": 1, "arrowcolor": "--ink", "bgcolor": "--paper", "font": {"color": "--ink"}}
    return {"text": mark.role, "showarrow": True, **ends, **look}


def _tooltip(row: Mapping[str, Any]) -> str:
    beyond = "" if row["feasible"] else "beyond the budget"
    arm = arm_words(row["dose"], row["policy"], row["mixture"])
    return hover(f"{arm}, {row['recipe']}", figure_line(row, "toxicity", "mean toxicity"), unscored_words(row), beyond)


def _shift(method: str, methods: Sequence[str]) -> float:
    return _DODGE * (methods.index(method) - (len(methods) - 1) / 2)


def _policies(table: pl.DataFrame) -> list[str]:
    return sorted(table["policy"].unique().to_list())


def dose_axis(table: pl.DataFrame) -> dict[str, Any]:
    """From the column `dose` of the frame `dose_response`: a tick a dose, in percent."""
    doses = sorted(table["dose"].unique().to_list())
    return {
        "range": spread([100 * doses[0] - 2, 100 * doses[-1] + 2]),
        "tickvals": [100 * dose for dose in doses],
        "ticktext": [percent(dose) for dose in doses],
    }


def _toxicities(table: pl.DataFrame) -> dict[str, Any]:
    values: Iterable[float | None] = [*table["toxicity"], *table["toxicity_high"]]
    return {"range": spread(values, from_zero=True), "tickformat": "~g", "nticks": 6}
