"""The report's interactive plots as plain Plotly figure dictionaries; colours of text and grid are left to the page."""

from __future__ import annotations

from typing import Any

import polars as pl

from analysis.report.input import ReportInput
from analysis.report.tables import setting_words
from analysis.statistics.frontier import Allowance
from analysis.statistics.panels import NONE

Figure = dict[str, Any]
"""A figure as Plotly's JSON: `data`, a list of traces, and `layout`."""
Trace = dict[str, Any]
"""One trace, or a part of one, as Plotly's JSON."""

GREY = "#8a94a6"
METHOD_COLOURS = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#e69f00",
    "#56b4e9",
)  # Okabe & Ito, safe for colour blindness
DOSE_COLOURS = ("#3b6fb6", "#2a9d8f", "#e0a100", "#d1495b", "#7b2d8b", "#5c4033")
SYMBOLS = ("circle", "diamond", "square", "triangle-up")
DASHES = ("solid", "dash", "dot", "dashdot")
DODGE = 0.35  # points of dose by which methods are set apart, so that intervals do not cover each other


def method_colours(methods: list[str]) -> dict[str, str]:
    """A colour for each method; doing nothing is grey."""
    steered = [name for name in methods if name != NONE]
    colours = {name: METHOD_COLOURS[i % len(METHOD_COLOURS)] for i, name in enumerate(steered)}
    return {name: colours.get(name, GREY) for name in methods}


def methods_of(table: pl.DataFrame) -> list[str]:
    """Methods in the order of legends: doing nothing first."""
    return sorted(table["method"].unique().to_list(), key=lambda name: (name != NONE, name))


def dose_response(table: pl.DataFrame) -> Figure:
    """Toxicity within the cross-entropy budget over dose: a panel for each loss policy, a line for each method."""
    policies, methods = sorted(table["policy"].unique().to_list()), methods_of(table)
    colours = method_colours(methods)
    traces = []
    for column, policy in enumerate(policies, start=1):
        for position, method in enumerate(methods):
            rows = table.filter(pl.col("policy") == policy, pl.col("method") == method).sort("dose")
            shift = DODGE * (position - (len(methods) - 1) / 2)
            trace = _line(rows, method, colours[method]) | {
                "x": [100 * dose + shift for dose in rows["dose"]],
                "customdata": [[100 * dose, recipe] for dose, recipe in rows.select("dose", "recipe").rows()],
                "legendgroup": method,
                "showlegend": column == 1,
                "xaxis": _axis(column),
                "hovertemplate": "dose %{customdata[0]:~g} % %{customdata[1]}<br>toxicity %{y:.4f}",
            }
            traces.append(trace)
    layout = _panels(
        [f"loss policy: {name}" for name in policies],
        "dose: risky component, % of all tokens",
        "mean toxicity within the budget",
    )
    return {"data": traces, "layout": layout | {"height": 430}}


def frontiers(table: pl.DataFrame, allowance: Allowance) -> Figure:
    """Toxicity against the price in cross-entropy: a panel for each method, a line for each dose and policy."""
    methods = [name for name in methods_of(table) if name != NONE] or [NONE]
    cost = "cost" if allowance.counted_from == "own" else "cost_of_clean"
    doses, policies = (sorted(table[name].unique().to_list()) for name in ("dose", "policy"))
    traces = []
    for column, method in enumerate(methods, start=1):
        for dose, policy, mixture in sorted(table.select("dose", "policy", "mixture").unique().rows()):
            arm = table.filter(pl.col("dose") == dose, pl.col("policy") == policy, pl.col("mixture") == mixture)
            rows = arm.filter(pl.col("method").is_in([method, NONE])).sort("method", "budget", "strength_low")
            name = "clean" if dose == 0 else f"{100 * dose:g} % {policy}"
            look = {"colour": DOSE_COLOURS[doses.index(dose) % 6], "symbol": SYMBOLS[policies.index(policy) % 4]}
            look["dash"] = DASHES[policies.index(policy) % 4] if dose > 0 else "solid"
            traces += _frontier_traces(rows, cost, name, look, column)
    whose = "the arm's own" if allowance.counted_from == "own" else "the clean arm's"
    layout = _panels(methods, f"cross-entropy above {whose} unsteered model, nats per token", "mean toxicity")
    layout["shapes"] = [_budget_line(column, allowance.nats) for column in range(1, len(methods) + 1)]
    return {"data": traces, "layout": layout | {"height": 460}}


def _frontier_traces(rows: pl.DataFrame, cost: str, name: str, look: dict[str, str], column: int) -> list[Trace]:
    """The measured points with their intervals, and a line that guides the eye through those on the frontier."""
    shared = {"legendgroup": name, "name": name, "xaxis": _axis(column), "yaxis": "y"}
    points = _line(rows, name, look["colour"]) | shared
    points |= {
        "x": rows[cost].to_list(),
        "mode": "markers",
        "showlegend": column == 1,
        "error_x": _bars(rows, cost, look["colour"]),
        "customdata": [[setting_words(row)] for row in rows.to_dicts()],
        "hovertemplate": "%{customdata[0]}<br>cost %{x:.3f} nats<br>toxicity %{y:.4f}",
    }
    points["marker"] = {
        "symbol": [look["symbol"] if solid else look["symbol"] + "-open" for solid in rows["on_frontier"]],
        "size": 8,
        "color": look["colour"],
    }
    best = rows.filter(pl.col("on_frontier")).sort(cost)
    line = {"type": "scatter", "mode": "lines", "showlegend": False, "hoverinfo": "skip", **shared}
    line |= {
        "x": best[cost].to_list(),
        "y": best["toxicity"].to_list(),
        "line": {"color": look["colour"], "width": 2, "dash": look["dash"]},
    }
    return [line, points]


def probes(table: pl.DataFrame) -> Figure:
    """Distribution over heads of the probes' accuracy, a box for each arm; `table` holds the rows of the results."""
    traces = []
    doses = sorted(table["dose"].unique().to_list())
    for dose, policy in sorted(table.select("dose", "policy").unique().rows()):
        rows = table.filter(pl.col("dose") == dose, pl.col("policy") == policy)
        heads = rows.group_by("prompt_id", maintain_order=True).agg(pl.col("value").mean())
        traces.append(
            {
                "type": "box",
                "name": "clean" if dose == 0 else f"{100 * dose:g} % {policy}",
                "y": heads["value"].to_list(),
                "text": heads["prompt_id"].to_list(),
                "boxpoints": "all",
                "jitter": 0.5,
                "pointpos": 0,
                "marker": {"color": DOSE_COLOURS[doses.index(dose) % 6], "size": 4, "opacity": 0.6},
                "line": {"width": 1.5},
                "showlegend": False,
            }
        )
    layout = {"yaxis": {"title": {"text": "probe accuracy, one point a head"}}, "height": 380, "margin": _MARGIN}
    return {"data": traces, "layout": layout}


def training(report: ReportInput) -> Figure:
    """Held-out cross-entropy of each arm (mean over seeds) beside the unigram entropy, component by component."""
    components = sorted({name for arm in report.arms for name in arm.training.held_out})
    names = list(dict.fromkeys(_arm_name(arm.dose, arm.policy) for arm in report.arms))
    traces: list[Trace] = []
    for i, component in enumerate(components):
        held = [
            (_arm_name(arm.dose, arm.policy), arm.training.held_out[component])
            for arm in report.arms
            if component in arm.training.held_out
        ]
        means = {n: [h.cross_entropy for name, h in held if name == n] for n in names}
        shared = {"type": "scatter", "mode": "markers", "x": names}
        colour = METHOD_COLOURS[i % len(METHOD_COLOURS)]
        unigram = {
            n: [h.unigram_cross_entropy for name, h in held if name == n and h.unigram_cross_entropy] for n in names
        }
        traces.append(
            {
                **shared,
                "name": component,
                "y": [_mean(means[n]) for n in names],
                "marker": {"size": 10, "color": colour},
            }
        )
        mark = {"size": 22, "symbol": "line-ew-open", "color": colour, "line": {"width": 2}}
        entropies = [_mean(unigram[n]) for n in names]
        traces.append({**shared, "name": f"{component}: unigram entropy", "y": entropies, "marker": mark})
    axis = {"title": {"text": "held-out cross-entropy, nats per token"}, "rangemode": "tozero"}
    return {"data": traces, "layout": {"yaxis": axis, "height": 380, "margin": _MARGIN, "legend": _LEGEND}}


def _arm_name(dose: float, policy: str) -> str:
    return "clean" if dose == 0 else f"{100 * dose:g} % {policy}"


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _line(rows: pl.DataFrame, name: str, colour: str) -> Trace:
    """Toxicity with its intervals as a line of markers; the caller sets x."""
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": name,
        "y": rows["toxicity"].to_list(),
        "error_y": _bars(rows, "toxicity", colour),
        "line": {"color": colour, "width": 2},
        "marker": {"color": colour, "size": 8},
    }


def _bars(rows: pl.DataFrame, name: str, colour: str) -> Trace:
    """Asymmetric error bars from the columns NAME_low and NAME_high."""
    value, low, high = (rows[column].to_list() for column in (name, f"{name}_low", f"{name}_high"))
    known = [(v, a, b) if None not in (v, a, b) else (0.0, 0.0, 0.0) for v, a, b in zip(value, low, high, strict=True)]
    return {
        "type": "data",
        "symmetric": False,
        "array": [b - v for v, _, b in known],
        "arrayminus": [v - a for v, a, _ in known],
        "color": colour,
        "thickness": 1.3,
        "width": 3,
    }


_MARGIN = {"l": 64, "r": 16, "t": 36, "b": 56}
_LEGEND = {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0}


def _panels(titles: list[str], x_title: str, y_title: str) -> Figure:
    """A row of panels that share the vertical axis, each with its title."""
    gap, n = 0.035, len(titles)
    width = (1 - gap * (n - 1)) / n
    layout: Figure = {"margin": {**_MARGIN, "t": 76}, "legend": {**_LEGEND, "y": 1.1}, "annotations": []}
    layout["yaxis"] = {"title": {"text": y_title}, "rangemode": "tozero"}
    for i, title in enumerate(titles):
        start = i * (width + gap)
        layout["xaxis" + _axis(i + 1)[1:]] = {"domain": [start, start + width], "anchor": "y", "zeroline": False}
        layout["annotations"].append(
            {"text": title, "x": start, "y": 1.0, "xref": "paper", "yref": "paper", "xanchor": "left",
             "yanchor": "bottom", "showarrow": False, "font": {"size": 13}}
        )  # fmt: skip
    layout["annotations"].append(
        {"text": x_title, "x": 0.5, "y": -0.12, "xref": "paper", "yref": "paper", "yanchor": "top", "showarrow": False}
    )
    return layout


def _axis(column: int) -> str:
    """Plotly's name of the horizontal axis of a panel: x, x2, x3."""
    return "x" if column == 1 else f"x{column}"


def _budget_line(column: int, budget: float) -> Figure:
    return {"type": "line", "xref": _axis(column), "yref": "paper", "x0": budget, "x1": budget, "y0": 0, "y1": 1,
            "line": {"dash": "dot", "width": 1.5, "color": GREY}}  # fmt: skip
