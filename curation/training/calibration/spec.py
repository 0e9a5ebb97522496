"""The YAML of `kind: calibration`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from curation.scorers.options import AnyScorer
from curation.sources.spec import MAX_BAD_SHARE, SourceSpec
from infra.config.identity import NotIdentity
from infra.config.spec import FileName, Seed, Spec


class ReferenceSpec(Spec):
    """Texts that carry scores of somebody whose scale is wanted."""

    source: SourceSpec
    """Where the texts are."""
    scores: dict[str, str] = Field(min_length=1)
    """Attribute of the scorer -> key of the stored score, a number in [0, 1]; a dot goes one level down."""


class CalibrationSpec(Spec):
    """A scorer, and the reference that its scores are to agree with."""

    name: FileName
    """Folder of the artifact below runs/."""
    scorer: AnyScorer
    """The scorer to calibrate."""
    references: tuple[ReferenceSpec, ...] = Field(min_length=1)
    """Texts with stored scores; all of them count alike."""
    max_bad_share: Annotated[float, NotIdentity] = Field(MAX_BAD_SHARE, ge=0, le=1)
    """Share of unusable lines above which the training stops; no part of the fingerprint."""
    held_out: float = Field(0.3, gt=0, lt=1)
    """Share of the texts that the error is measured on, and the curve is not fitted to. Equal texts stay together."""
    seed: Seed = 0
    """Another seed holds out other texts."""
