"""The `scorer:` section of any YAML: one of the sections that the scorers declare, told apart by `name`."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from curation.scorers import SCORERS, ScorerSpec
from infra.registry import one_of

if TYPE_CHECKING:
    AnyScorer: TypeAlias = ScorerSpec
else:
    AnyScorer = one_of(SCORERS, "name")
