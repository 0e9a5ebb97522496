"""Tables of heads and of geometry as a person reads them, from the frames `heads` and `geometry`."""

from __future__ import annotations

from typing import Any

import polars as pl

from infra.render.page import Table

HEADS_NOTE = (
    "Only the interval over seeds speaks of other trainings; heads of one model are not independent, so both p over "
    "heads are of these very models."
)


def heads_table(heads: pl.DataFrame) -> list[Table]:
    """Head accuracy of every risky arm against the clean one; nothing for an empty frame."""
    if heads.is_empty():
        return []
    columns = ("arm", "seeds", "heads", "clean, mean", "mean", "difference, points [95 % over seeds]",
               "95th percentile, points", "Welch p over heads", "paired permutation p over heads")  # fmt: skip
    rows = tuple(
        (
            f"{100 * row['dose']:g} % {row['policy']}",
            row["seeds"],
            row["heads"],
            f"{row['clean_mean']:.4f}",
            f"{row['mean']:.4f}",
            _points(row, "difference"),
            f"{100 * row['q95_difference']:+.2f}",
            _p(row["welch_p"]),
            _p(row["permutation_p"]),
        )
        for row in heads.iter_rows(named=True)
    )
    return [Table("Heads that tell toxic from benign text: arms against clean", columns, rows)]


def geometry_table(geometry: pl.DataFrame) -> list[Table]:
    """Ranks, margins and entanglement by arm; nothing for an empty frame."""
    if geometry.is_empty():
        return []
    columns = ("figure", "arm", "seeds", "mean [95 % over seeds]", "above clean [95 % over seeds]")
    rows = tuple(
        (
            row["figure"].replace("_", " "),
            "clean" if row["dose"] == 0 else f"{100 * row['dose']:g} % {row['policy']}",
            row["seeds"],
            _interval(row, "value", ""),
            "" if row["above_clean"] is None else _interval(row, "above_clean", "+"),
        )
        for row in geometry.iter_rows(named=True)
    )
    return [Table("Geometry of the labelled activations", columns, rows)]


def _interval(row: dict[str, Any], name: str, sign: str) -> str:
    value, low, high = (row[f"{name}{suffix}"] for suffix in ("", "_low", "_high"))
    if low is None:
        return f"{value:{sign}.3f} [one seed]"
    return f"{value:{sign}.3f} [{low:{sign}.3f}, {high:{sign}.3f}]"


def _points(row: dict[str, Any], name: str) -> str:
    value = f"{100 * row[name]:+.2f}"
    if row[f"{name}_low"] is None:
        return f"{value} [one seed]"
    return f"{value} [{100 * row[f'{name}_low']:+.2f}, {100 * row[f'{name}_high']:+.2f}]"


def _p(value: float | None) -> str:
    return "" if value is None else f"{value:.2g}" if value >= 1e-4 else "< 0.0001"
