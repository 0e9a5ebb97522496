"""The stages that the steps of a study are made of."""

from __future__ import annotations

from typing import Any

from infra.config.registry import ImportTable
from infra.stages.stage import Stage

STAGES: ImportTable[Stage[Any]] = ImportTable(
    "kind of step",
    {
        "curation": "curation.stage:CURATION",
        "mixture": "mixtures.stage:MIXTURE",
        "pretrain": "pretrain.stage:PRETRAIN",
        "checkpoint": "pretrain.training.checkpoint_stage:CHECKPOINT",
        "posttrain": "posttrain.stage:POSTTRAIN",
        "tune": "posttrain.tuning.stage:TUNE",
        "analysis": "analysis.stage:ANALYSIS",
    },
)


def stage_of(kind: str) -> Stage[Any]:
    """The stage of a step's kind, imported when the first such step comes."""
    return STAGES.get(kind)
