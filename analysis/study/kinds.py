"""The stages that the steps of a study are made of."""

from __future__ import annotations

import importlib
from typing import Any

from infra.stages.stage import Stage

STAGES = {
    "curation": "curation.stage:CURATION",
    "mixture": "mixtures.stage:MIXTURE",
    "pretrain": "pretrain.stage:PRETRAIN",
    "posttrain": "posttrain.stage:POSTTRAIN",
    "analysis": "analysis.stage:ANALYSIS",
}
"""kind -> module:stage, imported only when a step or a file of that kind is met."""


def stage_of(kind: str) -> Stage[Any]:
    """The stage of a step's kind, imported when the first such step comes."""
    module, name = STAGES[kind].split(":")
    return getattr(importlib.import_module(module), name)
