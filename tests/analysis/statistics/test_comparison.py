"""Two studies beside each other: pairing, planted differences, and what cannot be compared.

Covers analysis.statistics.comparison, analysis.compare.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from analysis import results
from analysis.compare import comparison_tables
from analysis.report.page import write_report
from analysis.results import CROSS_ENTROPY, TOXICITY
from analysis.statistics.comparison import compare
from infra.artifacts.artifact import describe_files, now, write_manifest
from infra.errors import ArtifactError, InputError
from tests.helpers.made_up_study import report

IS_TOXICITY = pl.col("evaluation") == TOXICITY


def study() -> pl.DataFrame:
    return report(prompts=30, samples=2).results


def shifted(table: pl.DataFrame, by: float, column: str = "value", where: pl.Expr = IS_TOXICITY) -> pl.DataFrame:
    changed = (pl.col(column) + by).clip(0.0, 1.0) if by > 0 else pl.col(column) * (1 + by)
    return table.with_columns(pl.when(where).then(changed).otherwise(pl.col(column)).alias(column))


def test_a_study_beside_itself_differs_by_nothing() -> None:
    comparison = compare(study(), study())
    assert len(comparison.cells) > 20 and comparison.left_out == 0
    assert all(cell.toxicity.value == 0 and cell.cross_entropy.value == 0 for cell in comparison.cells)
    assert all(cell.holm == 1 for cell in comparison.cells)


def test_a_planted_difference_is_seen_in_its_direction_and_only_where_it_was_planted() -> None:
    planted = IS_TOXICITY & (pl.col("method") == "iti")
    comparison = compare(study(), shifted(study(), -0.5, where=planted))
    for cell in comparison.cells:
        if cell.cell.method == "iti":
            assert cell.second < cell.first
        else:
            assert cell.toxicity.value == 0
    planted_cells = [cell for cell in comparison.cells if cell.cell.method == "iti"]
    assert sum(cell.toxicity.high < 0 for cell in planted_cells) > len(planted_cells) / 2


def test_prompts_are_paired_by_their_text_whatever_their_numbers() -> None:
    table = study()
    numbers = table.filter(IS_TOXICITY)["prompt"].unique().sort()
    other = pl.Series(np.random.default_rng(0).permutation(numbers.to_numpy()) + 1000)
    moved = table.with_columns(
        pl.when(IS_TOXICITY).then(pl.col("prompt").replace(numbers, other)).otherwise("prompt").alias("prompt")
    )
    assert all(cell.toxicity.value == pytest.approx(0, abs=1e-12) for cell in compare(table, moved).cells)


def test_what_only_one_study_has_is_counted_and_left_out() -> None:
    half = study().filter(~(IS_TOXICITY & (pl.col("prompt") >= 20)))
    without = half.filter(pl.col("method") != "sasa")
    comparison = compare(study(), without)
    assert comparison.prompts == 20
    assert comparison.left_out == len({cell for cell in cells_of(study()) if cell[1] == "sasa"})
    assert {cell.cell.method for cell in comparison.cells}.isdisjoint({"sasa"})


def cells_of(table: pl.DataFrame) -> set[tuple[object, ...]]:
    rows = table.filter(IS_TOXICITY).select("arm", "method", "budget", "strength", "dose", "policy").unique()
    return {(row["dose"], row["method"], row["policy"], row["budget"] or row["strength"]) for row in rows.to_dicts()}


def test_only_seeds_that_both_have_are_compared() -> None:
    comparison = compare(study(), study().filter(pl.col("seed") == 0))
    assert comparison.seeds == (0,)


def test_scores_of_other_scorers_are_refused_and_rescore_is_named() -> None:
    other = study().with_columns(scorer=pl.when(IS_TOXICITY).then(pl.lit("detoxify:abc")).otherwise("scorer"))
    with pytest.raises(InputError, match=r"other scorers.*hormesis rescore"):
        compare(study(), other)


def test_studies_with_nothing_in_common_are_refused() -> None:
    with pytest.raises(InputError, match="no arm and recipe in common"):
        compare(study(), study().with_columns(dose=pl.col("dose") + 0.01))


def test_a_study_with_other_documents_is_compared_on_toxicity_only_where_documents_are_shared() -> None:
    shared = study()
    fewer = shared.filter((pl.col("evaluation") != CROSS_ENTROPY) | (pl.col("prompt") < 5))
    assert compare(shared, fewer).documents == 5
    assert results.main(shared).height == shared.height


def written(folder: Path, table: pl.DataFrame, kind: str = "study") -> Path:
    write_report(replace(report(prompts=30, samples=2), results=table), folder)
    named = {"config": {}, "inputs": {}, "fingerprint": folder.name, "started": now()}
    write_manifest(folder, describe_files(folder), kind=kind, version=1, counts={}, notes=[], **named)
    return folder


def test_the_tables_name_every_cell_with_its_interval_and_say_what_they_stand_on(tmp_path: Path) -> None:
    second = shifted(study(), -0.5, where=IS_TOXICITY & (pl.col("method") == "iti"))
    cells, facts = comparison_tables(written(tmp_path / "a", study()), written(tmp_path / "b", second))
    steered = next(row for row in cells.rows if row[1] == "iti at strength 4")
    assert str(steered[4]).startswith("−0.") and "[" in str(steered[4])
    assert any("30 prompts" in str(value) and "seeds 0, 1" in str(value) for _, value in facts.rows)


def test_an_artifact_without_results_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="holds a mixture artifact; studies and analyses are compared"):
        comparison_tables(written(tmp_path / "a", study(), kind="mixture"), tmp_path)
