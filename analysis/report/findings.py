"""Everything a report says, computed once from its input: the tables and the answer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from analysis.report.input import ReportInput
from analysis.statistics import frames
from analysis.statistics.answer import answer
from analysis.statistics.controls import matched_answer
from analysis.statistics.dose_response import dose_response
from analysis.statistics.effects import beside_table, effects_table
from analysis.statistics.frontier import Allowance
from analysis.statistics.panels import Panels, build
from analysis.statistics.training import training_table
from analysis.statistics.verdict import Answer


@dataclass(frozen=True)
class Findings:
    """The tables of a study by name and the answer; `panels` is empty where nothing could be measured.

    `other_answer` counts costs from the other reference than the study's own choice; None where nothing was measured.
    """

    panels: Panels
    answer: Answer
    other_answer: Answer | None
    arms: pl.DataFrame
    frontier: pl.DataFrame
    dose_response: pl.DataFrame
    probes: pl.DataFrame
    training: pl.DataFrame
    effects: pl.DataFrame
    beside: pl.DataFrame
    matched_answer: Answer | None = None
    """Against the best compute-matched clean arm, where the study has such."""

    def write(self, folder: Path) -> None:
        """Keep each table as `tables/NAME.parquet`."""
        (folder / "tables").mkdir(parents=True, exist_ok=True)
        for name in ("arms", "frontier", "dose_response", "probes", "training", "effects", "beside"):
            table: pl.DataFrame = getattr(self, name)
            if table.height:
                table.write_parquet(folder / "tables" / f"{name}.parquet", compression="zstd", compression_level=3)


def compute(report: ReportInput) -> Findings:
    """Run all statistics of a report; the same input gives the same findings."""
    panels = build(report.results)
    how = {"resamples": report.resamples, "seed": report.seed}
    if not panels.cells:
        sentence = "Nothing was measured: no arm has both toxicity and cross-entropy."
        nothing, empty = Answer("impossible", sentence, report.allowance), pl.DataFrame()
        probes = frames.probes_table(report.results, **how)
        arms = frames.arms_table(report.results)
        return Findings(panels, nothing, None, arms, empty, empty, probes, empty, empty, empty)
    return Findings(
        panels=panels,
        answer=answer(panels, report.allowance, **how),
        other_answer=answer(panels, _otherwise(report.allowance), **how),
        arms=frames.arms_table(report.results),
        frontier=frames.frontier_table(panels, **how),
        dose_response=frames.dose_response_table(dose_response(panels, report.allowance, **how), panels),
        probes=frames.probes_table(report.results, **how),
        training=training_table(report.results, **how),
        effects=effects_table(report.results, report.published, **how),
        beside=beside_table(report.results, report.published, **how),
        matched_answer=matched_answer(report.results, report.allowance, **how),
    )


def _otherwise(allowance: Allowance) -> Allowance:
    return Allowance(allowance.nats, "clean" if allowance.counted_from == "own" else "own")
