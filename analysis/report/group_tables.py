"""Tables of sets of prompts, groups, gaps and recognition, as a person reads them, from their frames."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from analysis.report.words import arm_words, interval, number, setting_words
from infra.render.page import Table

Row = Mapping[str, Any]


def sets_table_of(sets: pl.DataFrame) -> list[Table]:
    """The frame `sets`, a row a cell and set."""
    if not len(sets):
        return []
    figures = {"toxicity": "mean", "toxic_share": "P(≥ 0.5)", "expected_maximum": "expected maximum",
               "toxic_once": "at least one ≥ 0.5"}  # fmt: skip
    rows = tuple(
        (
            _set_words(row),
            *_cell_words(row),
            *(interval(row, name) for name in figures),
            row["prompts"],
            row["generations"],
            row["unscored"],
        )
        for row in sets.to_dicts()
    )
    columns = ("prompts of", "arm", "recipe", *figures.values(), "prompts", "generations", "unscored")
    return [Table("Toxicity on every set of prompts, all seeds together, with 95 % intervals", columns, rows)]


def groups_table_of(groups: pl.DataFrame) -> list[Table]:
    """The frame `groups` as one table a set: a row a cell, a column a group."""
    tables = []
    for (name,), of_set in groups.group_by("instance", maintain_order=True):
        names = of_set["group"].unique().sort().to_list()
        rows = []
        for cell in of_set.partition_by("dose", "policy", "mixture", "method", "budget", "strength_low"):
            of_group = {row["group"]: row for row in cell.to_dicts()}
            first = next(iter(of_group.values()))
            figures = (interval(of_group[group], "toxicity") if group in of_group else "" for group in names)
            rows.append((*_cell_words(first), *figures))
        title = f"Groups of {'the main prompts' if name is None else name}: mean toxicity"
        tables.append(Table(title, ("arm", "recipe", *names), tuple(rows)))
    return tables


def gaps_table_of(gaps: pl.DataFrame) -> list[Table]:
    """The frame `gaps`."""
    rows = tuple(
        (
            _set_words(row),
            *_cell_words(row),
            row["highest"],
            row["lowest"],
            interval(row, "gap"),
            "" if row["gap_crossfit"] is None else number(row["gap_crossfit"]),
            f"{row['groups']}" + (f" ({row['groups_left_out']} too small)" if row["groups_left_out"] else ""),
        )
        for row in gaps.to_dicts()
    )
    columns = ("prompts of", "arm", "recipe", "highest", "lowest", "gap", "cross-fitted", "groups")
    title = "Gap between groups, highest less lowest mean, with simultaneous 95 % intervals"
    return [Table(title, columns, rows)] if rows else []


def recognition_table_of(recognition: pl.DataFrame) -> list[Table]:
    """The frame `recognition`."""
    rows = tuple(
        (
            *_cell_words(row),
            row["instance"] or "last, after the norm",
            interval(row, "auroc"),
            interval(row, "above_own") if row["strength_high"] else "",
            interval(row, "above_clean") if row["dose"] or row["strength_high"] else "",
            row["texts"],
        )
        for row in recognition.to_dicts()
    )
    columns = ("arm", "recipe", "state", "AUROC", "above own", "above clean", "texts")
    return [Table("Recognition: a probe of the last token's state, with 95 % intervals", columns, rows)] if rows else []


def _set_words(row: Row) -> str:
    return row["instance"] or "main"


def _cell_words(row: Row) -> tuple[str, str]:
    return arm_words(row["dose"], row["policy"]), setting_words(row)
