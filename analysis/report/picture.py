"""A still picture of the dose-response curve, for a README or a slide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from analysis.report.dose_figures import Chosen
from analysis.report.figures import LIGHT, looks, methods_of
from analysis.statistics.panels import NONE

_SPREAD = 0.3  # points of dose by which lines are set apart
_MOST_LINES = 6  # steered methods in one panel; more are a thicket, and get a panel each
_COLUMNS = 4
_STYLES = ("-", "--", ":", "-.")


@dataclass(frozen=True)
class _Line:
    label: str
    method: str
    policy: str
    rows: pl.DataFrame
    colour: str
    style: str = "-"


def draw_dose_response(table: pl.DataFrame, path: Path, title: str, marks: Sequence[Chosen] = ()) -> None:
    """Write a PNG: a panel for each loss policy with a line for each method, or where there are many methods a panel
    for each, beside doing nothing; the chosen recipes are ringed. Same table, same bytes.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    many = len(methods_of(table)) > _MOST_LINES + 1
    panels = _by_method(table) if many else _by_policy(table)
    columns = min(len(panels), _COLUMNS)
    rows, width = -(-len(panels) // columns), 2.9 if many else 4.2
    size = (1 + width * columns, 0.6 + (2.3 if many else 3.6) * rows)
    figure, axes = pyplot.subplots(rows, columns, figsize=size, sharex=True, sharey=True, squeeze=False)
    figure.set_layout_engine("constrained")
    for axis, (heading, lines) in zip(axes.flat, panels.items(), strict=False):
        for position, line in enumerate(lines):
            shift = _SPREAD * (position - (len(lines) - 1) / 2)
            _draw(axis, line, shift)
            _ring(axis, [mark for mark in marks if (mark.method, mark.policy) == (line.method, line.policy)], shift)
        axis.set_title(heading, fontsize=11, loc="left")
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0][0].set_ylim(bottom=0)  # of all panels, once all is drawn: it ends the search for limits
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    figure.supxlabel("dose: risky component, % of all tokens", fontsize=10)
    figure.supylabel("mean toxicity within the budget", fontsize=10)
    axes[0][0 if many else -1].legend(frameon=False, fontsize=9)
    figure.suptitle(title, fontsize=12, x=0.01, ha="left", wrap=True)
    # No "Software": it holds matplotlib's version, and the same table is to give the same bytes.
    figure.savefig(path, dpi=150, metadata={"Software": None}, format="png")
    pyplot.close(figure)


def _by_policy(table: pl.DataFrame) -> dict[str, list[_Line]]:
    styles = looks(methods_of(table))
    return {
        f"loss policy: {policy}": [
            _Line(method, method, policy, _rows(table, method, policy), LIGHT[look.series])
            for method, look in styles.items()
        ]
        for policy in _policies(table)
    }


def _by_method(table: pl.DataFrame) -> dict[str, list[_Line]]:
    """Every steered method beside doing nothing, loss policies by the style of the line."""
    policies = _policies(table)
    dashes = {policy: _STYLES[i % len(_STYLES)] for i, policy in enumerate(policies)}
    words = {policy: f", {policy}" if len(policies) > 1 else "" for policy in policies}
    return {
        method: [
            _Line(f"{kind}{words[policy]}", name, policy, _rows(table, name, policy), colour, dashes[policy])
            for policy in policies
            for kind, name, colour in (("unsteered", NONE, LIGHT[0]), ("steered", method, LIGHT[1]))
        ]
        for method in methods_of(table)
        if method != NONE
    }


def _policies(table: pl.DataFrame) -> list[str]:
    return sorted(table["policy"].unique().to_list())


def _rows(table: pl.DataFrame, method: str, policy: str) -> pl.DataFrame:
    return table.filter(pl.col("policy") == policy, pl.col("method") == method).sort("dose")


def _ring(axis: Any, marks: Sequence[Chosen], shift: float) -> None:
    """A ring around a chosen recipe, with its name near the foot of the panel, where lines hardly ever are."""
    for mark in marks:
        at = (100 * mark.dose + shift, mark.toxicity)
        axis.plot(*at, "o", markersize=14, fillstyle="none", color="black", markeredgewidth=1.6)
        foot = {"xytext": (at[0], 0.04), "textcoords": ("data", "axes fraction"), "ha": "center", "fontsize": 9}
        axis.annotate(mark.role, at, arrowprops={"arrowstyle": "-", "linewidth": 0.8, "shrinkB": 8}, **foot)


def _draw(axis: Any, line: _Line, shift: float) -> None:
    rows = line.rows
    x = [100 * dose + shift for dose in rows["dose"]]
    low = (rows["toxicity"] - rows["toxicity_low"]).fill_null(0.0).to_list()
    high = (rows["toxicity_high"] - rows["toxicity"]).fill_null(0.0).to_list()
    style = {"marker": "o", "markersize": 5, "capsize": 3, "linewidth": 1.8, "elinewidth": 1.2, "linestyle": line.style}
    axis.errorbar(x, rows["toxicity"], yerr=[low, high], label=line.label, color=line.colour, **style)
