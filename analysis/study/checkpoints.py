"""Intermediate checkpoints that a study measures too: what its file says of them. Light to import."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, Field

from analysis.spec import AnalysisSpec
from analysis.study.grid import RecipeGrid
from infra.config.faults import nearest
from infra.config.spec import Spec, distinct
from pretrain.spec import PretrainSpec


class CheckpointsSpec(Spec):
    """Checkpoints at which the arms are measured too, and what is measured there."""

    steps: Annotated[tuple[Annotated[int, Field(ge=1)], ...], AfterValidator(distinct)] = Field(min_length=1)
    """Optimizer steps. The training keeps every checkpoint at multiples of their greatest common divisor, or of
    `pretrain.keep_every` where that is given.
    """
    methods: tuple[str, ...] | None = None
    """Rows of `methods` that are fitted and measured there, plain decoding always; all of them unless given."""
    evaluations: tuple[str, ...] | None = Field(None, min_length=1)
    """Sections of `analysis` that are measured there; all of them unless given."""

    def keep_every(self, pretrain: PretrainSpec) -> int:
        """Steps between the checkpoints that the training keeps."""
        return pretrain.keep_every or math.gcd(*self.steps)


def check_checkpoints(
    checkpoints: CheckpointsSpec, pretrain: PretrainSpec, methods: Mapping[str, RecipeGrid], analysis: AnalysisSpec
) -> None:
    """Raises ValueError where a checkpoint is not kept, or a method or evaluation is not there."""
    every = checkpoints.keep_every(pretrain)
    if missed := [step for step in checkpoints.steps if step % every]:
        raise ValueError(f"checkpoints: step {missed[0]} is not kept by `pretrain.keep_every: {every}`")
    if unknown := sorted(set(checkpoints.methods or ()) - methods.keys()):
        raise ValueError(f"checkpoints.methods: no {unknown[0]!r} among `methods`{nearest(unknown[0], methods)}")
    measured = analysis.evaluations()
    if unknown := sorted(set(checkpoints.evaluations or ()) - measured.keys()):
        raise ValueError(f"checkpoints.evaluations: `analysis` has no {unknown[0]!r}{nearest(unknown[0], measured)}")
