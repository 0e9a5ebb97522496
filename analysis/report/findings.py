"""Everything a report says, computed once from its input: the frames of its sections, and the answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import polars as pl

from analysis.report.input import ReportInput
from analysis.report.section import Frames, Material
from analysis.report.sections import SECTIONS
from analysis.statistics.answer import answer
from analysis.statistics.controls import matched_answer
from analysis.statistics.frontier import Allowance
from analysis.statistics.panels import Panels, build
from analysis.statistics.verdict import Answer
from infra.render.page import Table


@dataclass(frozen=True)
class Findings:
    """The answer of a study and its frames by name; `panels` is empty where nothing could be measured.

    `other_answer` counts costs from the other reference than the study's own choice; None where nothing was measured.
    """

    panels: Panels
    answer: Answer
    other_answer: Answer | None
    frames: Mapping[str, pl.DataFrame]
    """Of every section, those that are empty too."""
    matched_answer: Answer | None = None
    """Against the best compute-matched clean arm, where the study has such."""


def compute(report: ReportInput) -> Findings:
    """Run all statistics of a report; the same input gives the same findings."""
    material = Material(report, build(report.results))
    frames = {computed.name: computed.frame(material) for section in SECTIONS for computed in section.computed}
    if not material.panels.cells:
        sentence = "Nothing was measured: no arm has both toxicity and cross-entropy."
        return Findings(material.panels, Answer("impossible", sentence, report.allowance), None, frames)
    mine, other = (
        answer(material.panels, allowance, resamples=report.resamples, seed=report.seed)
        for allowance in (report.allowance, _otherwise(report.allowance))
    )
    matched = matched_answer(report.results, report.allowance, resamples=report.resamples, seed=report.seed)
    return Findings(material.panels, mine, other, frames, matched)


def shown_tables(frames: Frames) -> Iterator[Table]:
    """The tables of those frames that hold anything, in the order of the sections."""
    for section in SECTIONS:
        for computed in section.computed:
            frame = frames.get(computed.name)
            if frame is not None and frame.height:
                yield from computed.tables(frame)


def _otherwise(allowance: Allowance) -> Allowance:
    return Allowance(allowance.nats, "clean" if allowance.counted_from == "own" else "own")
