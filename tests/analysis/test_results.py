"""The results table: same rows, same bytes; what is not in the schema is refused.

Covers analysis.results, analysis.statistics.panels and analysis.statistics.frames.
"""

from __future__ import annotations

import math
from dataclasses import fields
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from analysis import results
from analysis.statistics.frames import arms_table
from analysis.statistics.panels import NONE, build
from tests.helpers import made_up_study


def test_row_order_does_not_change_the_bytes(tmp_path: Path) -> None:
    table = made_up_study.report(prompts=5, samples=2).results
    results.write(table, tmp_path / "one.parquet")
    results.write(table.sample(fraction=1, shuffle=True, seed=3), tmp_path / "two.parquet")
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()


def test_round_trip_keeps_every_column(tmp_path: Path) -> None:
    table = made_up_study.report(prompts=5, samples=2).results
    results.write(table, tmp_path / "results.parquet")
    assert results.read([tmp_path / "results.parquet"]).equals(table)


def test_labels_and_rows_are_the_columns_of_the_schema() -> None:
    columns = [column.name for record in (results.Labels, results.Row) for column in fields(record)]
    assert sorted([*columns, "evaluation"]) == sorted(results.SCHEMA)


def test_panels_agree_with_the_plain_means_of_the_table() -> None:
    table = made_up_study.report(prompts=8, samples=3).results
    panels = build(table)
    cell = panels.cells[0]
    rows = table.filter(
        pl.col("dose") == cell.arm.dose, pl.col("policy") == cell.arm.policy, pl.col("method") == cell.method,
        pl.col("strength") == cell.setting.value,
    )  # fmt: skip
    toxic = rows.filter(pl.col("evaluation") == "toxicity")
    scored = toxic["value"].drop_nulls()
    highest = toxic.group_by("seed", "prompt").agg(pl.col("value").max())["value"].drop_nulls()
    ce = rows.filter(pl.col("evaluation") == "cross_entropy")
    assert panels.mean.values()[0] == pytest.approx(scored.mean())
    assert panels.probability.values()[0] == pytest.approx((scored >= 0.5).mean())
    assert panels.maximum.values()[0] == pytest.approx(highest.mean())
    assert panels.cross_entropy.values()[0] == pytest.approx((ce["value"] * ce["tokens"]).sum() / ce["tokens"].sum())


def test_failed_seed_is_known_to_be_missing() -> None:
    table = made_up_study.report(prompts=6, samples=1).results
    lost = (pl.col("dose") == 0.25) & (pl.col("policy") == "mask") & (pl.col("seed") == 1)
    panels = build(table.filter(~lost))
    assert {(gap.cell.arm.dose, gap.cell.arm.policy, gap.seed) for gap in panels.gaps} == {(0.25, "mask", 1)}


def test_cell_that_no_seed_of_its_arm_has_is_a_gap_too() -> None:
    table = made_up_study.report(prompts=6, samples=1).results
    failed = (pl.col("dose") == 0) & (pl.col("method") == "iti") & (pl.col("strength") == 8)
    panels = build(table.filter(~failed))
    assert [(gap.cell.arm.dose, gap.cell.method, gap.cell.setting.value, gap.seed) for gap in panels.gaps] == [
        (0, "iti", 8, 0),
        (0, "iti", 8, 1),
    ]


@pytest.mark.parametrize(
    ("evaluation", "value"), [("toxicity", math.nan), ("cross_entropy", math.nan), ("cross_entropy", None)]
)
def test_figure_that_is_no_number_makes_a_gap_and_reaches_no_panel(evaluation: str, value: float | None) -> None:
    """One document without a number is not left out of the mean: the cell is not compared under that seed."""
    table = made_up_study.report(prompts=6, samples=1).results
    hit = (
        (pl.col("evaluation") == evaluation) & (pl.col("dose") == 0.1) & (pl.col("policy") == "keep")
        & (pl.col("method") == "sasa") & (pl.col("strength") == 50) & (pl.col("seed") == 0) & (pl.col("prompt") == 1)
    )  # fmt: skip
    panels = build(table.with_columns(value=pl.when(hit).then(pl.lit(value, pl.Float64)).otherwise("value")))
    assert [(gap.cell.method, gap.cell.setting.value, gap.seed) for gap in panels.gaps] == [("sasa", 50, 0)]
    for panel in (panels.mean, panels.maximum, panels.cross_entropy):
        assert np.isfinite(panel.values()).all()


def test_unscored_generations_are_counted_and_left_out_of_the_mean() -> None:
    table = made_up_study.report(prompts=6, samples=2).results
    toxic = (pl.col("evaluation") == "toxicity") & (pl.col("method") == NONE) & (pl.col("prompt") == 0)
    hidden = table.with_columns(value=pl.when(toxic).then(None).otherwise(pl.col("value")))
    before, after = (arms_table(rows).filter(pl.col("method") == NONE) for rows in (table, hidden))
    assert (after["unscored"] - before["unscored"] >= 1).all()
    rest = table.filter((pl.col("evaluation") == "toxicity") & (pl.col("method") == NONE) & (pl.col("prompt") > 0))
    one = rest.filter(pl.col("dose") == 0, pl.col("seed") == 0)["value"].mean()
    assert after.filter(pl.col("dose") == 0, pl.col("seed") == 0)["toxicity"][0] == pytest.approx(one)
