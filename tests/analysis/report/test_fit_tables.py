"""What is fitted to the made-up study, as frames and as tables.

Covers analysis.statistics.fit_frames and analysis.report.fit_tables.
"""

from __future__ import annotations

import polars as pl
import pytest

from analysis.report.fit_tables import MOST_NAMED, hypervolume_tables, optima_tables, stability_tables
from analysis.statistics.fit_frames import curves_table, hypervolume_table, optima_table, stability_table
from analysis.statistics.frontier import Allowance
from analysis.statistics.panels import Panels, build
from tests.helpers.made_up_study import report

ALLOWANCE = Allowance(0.1)
HOW = {"resamples": 200, "seed": 3}


@pytest.fixture(scope="module")
def panels() -> Panels:
    return build(report(prompts=20, samples=2).results)


def test_curves_and_optima_are_there_for_every_method_and_policy(panels: Panels) -> None:
    curves, optima = curves_table(panels, ALLOWANCE, **HOW), optima_table(panels, ALLOWANCE, **HOW)
    methods = {cell.method for cell in panels.cells}
    assert set(curves.select("method", "policy").rows()) == {(m, p) for m in methods for p in ("keep", "mask")}
    assert (curves["fit_low"] <= curves["fit_high"]).all() and curves["dose"].max() == 0.25
    assert set(optima["method"]) == methods - {"none"}
    (table,) = optima_tables(optima)
    assert len(table.rows) == optima.height
    assert all("least toxic at" in str(row[-1]) or "not determined" in str(row[-1]) for row in table.rows)


def test_stability_shows_both_sides_and_what_is_left_over(panels: Panels) -> None:
    frame = stability_table(panels, ALLOWANCE, seed=3)
    tables = list(stability_tables(frame))
    assert len(tables) == 2 and "risky" in tables[0].title
    many = pl.DataFrame({"side": ["risky"] * 17, "recipe": [f"recipe {i}" for i in range(17)], "share": [1 / 17] * 17})
    (table,) = stability_tables(many)
    assert len(table.rows) == MOST_NAMED + 1 and table.rows[-1] == ("7 others", "41 %")


def test_volumes_say_what_they_count_from(panels: Panels) -> None:
    frame = hypervolume_table(panels, ALLOWANCE, **HOW)
    (table,) = hypervolume_tables(frame)
    assert f"below {frame['reference'][0]:.3f}" in table.title and "up to 0.1 nats" in table.title
    assert len(table.rows) == frame.height
    assert [row[3] for row in table.rows if row[1] == "clean"] == [""] * frame["method"].n_unique()


def test_nothing_measured_gives_empty_frames_and_no_table() -> None:
    nothing = build(report(prompts=2, samples=1).results.clear())
    assert curves_table(nothing, ALLOWANCE, **HOW).is_empty()
    assert not list(optima_tables(optima_table(nothing, ALLOWANCE, **HOW)))
    assert not list(stability_tables(stability_table(nothing, ALLOWANCE)))
    assert not list(hypervolume_tables(hypervolume_table(nothing, ALLOWANCE, **HOW)))


def test_same_seed_same_frames(panels: Panels) -> None:
    for table in (curves_table, optima_table, hypervolume_table):
        assert table(panels, ALLOWANCE, **HOW).equals(table(panels, ALLOWANCE, **HOW))
