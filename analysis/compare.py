"""`hormesis compare`: two studies, or two analyses, beside each other."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from analysis import results
from analysis.report.words import arm_words, number
from analysis.statistics.comparison import CellDifference, StudyComparison, compare
from analysis.statistics.intervals import Estimate
from analysis.statistics.panels import NONE
from analysis.statistics.verdict import signed
from infra.artifacts.artifact import read_artifact
from infra.errors import ArtifactError
from infra.render.page import Table

KINDS = ("study", "analysis")


def comparison_tables(first: Path, second: Path) -> list[Table]:
    """What both measured, the second less the first, then what the figures stand on. Raises ArtifactError for other
    artifacts, InputError where the two have nothing in common.
    """
    comparison = compare(_results(first), _results(second))
    apart = sum(cell.toxicity.excludes_zero for cell in comparison.cells)
    facts = (
        ("first", str(first)),
        ("second", str(second)),
        ("paired on", f"{comparison.prompts} prompts, {comparison.documents} documents, "
                      f"seeds {', '.join(map(str, comparison.seeds))}"),
        ("left out", f"{comparison.left_out} cells that one of them lacks"),
        ("differ", f"{apart} of {len(comparison.cells)} by their own interval; "
                   f"{_beyond_chance(comparison)} with all of them taken together (Holm, 5 %)"),
    )  # fmt: skip
    columns = (
        "arm",
        "recipe",
        "first",
        "second",
        "difference of mean toxicity",
        "p (Holm)",
        "difference of nats/token",
    )
    title = "Second less first, the same seeds, prompts and documents; 95 % intervals"
    return [Table(title, columns, tuple(map(_row, comparison.cells))), Table("What was compared", ("", ""), facts)]


def _results(folder: Path) -> pl.DataFrame:
    artifact = read_artifact(folder)
    if artifact.kind not in KINDS:
        raise ArtifactError(f"{folder}: holds a {artifact.kind} artifact; studies and analyses are compared")
    return results.read([artifact.path / results.FILE])


def _beyond_chance(comparison: StudyComparison) -> int:
    return sum(cell.holm < 0.05 for cell in comparison.cells)


def _row(cell: CellDifference) -> tuple[object, ...]:
    key = cell.cell
    recipe = key.method if key.method == NONE or key.setting.value == 0 else f"{key.method} {key.setting.words}"
    return (
        arm_words(key.arm.dose, key.arm.policy),
        recipe,
        number(cell.first),
        number(cell.second),
        _limits(cell.toxicity),
        f"{cell.holm:.3f}",
        _limits(cell.cross_entropy),
    )


def _limits(difference: Estimate) -> str:
    """`value [low, high]` with signs."""
    return f"{signed(difference.value)} [{signed(difference.low)}, {signed(difference.high)}]"
