"""Published figures beside ours, and what of published effects came out here, as a person reads them."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from analysis.report.words import interval
from infra.render.page import Table

_OUTCOMES = {"seen": "seen", "opposite": "the opposite", "not shown": "not shown", "not measured": "not measured"}
_FIGURES: Mapping[str, str] = {"auroc": "AUROC"}
"""Names of figures that are more than their words."""
_SIDES = {"above": "above 0", "below": "below 0"}


def effect_table(effects: pl.DataFrame) -> list[Table]:
    """Each published effect, the difference here and what that says, from a frame of `EFFECTS`."""
    if effects.is_empty():
        return []
    rows = tuple(
        (
            row["claim"],
            f"{row['paper']}, {row['where']} [{row['mark']}]",
            f"{_name(row['figure'])}, {_SIDES[row['expected']]}",
            interval(row, "value"),
            _OUTCOMES[row["outcome"]],
        )
        for row in effects.to_dicts()
    )
    columns = ("effect", "published in", "figure here, expected", "difference here", "here")
    return [Table("Published effects, and what came out here (95 % intervals)", columns, rows)]


def beside_tables(beside: pl.DataFrame) -> list[Table]:
    """Each published table with our figures in columns of their own, from a frame of `BESIDE`."""
    tables = beside.partition_by("paper", "where", maintain_order=True)
    return [_beside(lines) for lines in tables]


def _beside(lines: pl.DataFrame) -> Table:
    paper, where, mark = lines.row(0)[:3]
    columns = lines.select("column", "ours").unique(maintain_order=True).sort("ours", maintain_order=True).rows()
    heads = [f"here: {_name(name)}" if ours else f"{name} [{mark}]" for name, ours in columns]
    rows = []
    for _, row in lines.group_by("row", maintain_order=True):
        cells = {(line["column"], line["ours"]): line for line in row.to_dicts()}
        rows.append((row["what"][0], *(_cell(cells.get(column)) for column in columns)))
    return Table(f"{paper}, {where}, beside ours", ("", *heads), tuple(rows))


def _name(figure: str) -> str:
    return _FIGURES.get(figure, figure.replace("_", " "))


def _cell(line: dict[str, object] | None) -> str:
    """A figure of ours with its interval; a published one as it is printed."""
    if line is None or line["value"] is None:
        return ""
    return interval(line, "value") if line["ours"] else f"{line['value']:.10g}".replace("-", "−")
