"""What a mixture's YAML may say about evaluation sets."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from curation.steps.options import BenchmarksSpec
from infra.config.identity import NotIdentity
from infra.config.spec import Location, Spec


class DecontaminationSpec(BenchmarksSpec):
    """Evaluation sets that the mixture must not contain. Documents that hold one of their n-grams are left out, of the
    training data and of what is held out.
    """

    max_inside: Annotated[float, Field(ge=0.0, le=1.0), NotIdentity] = 0.5
    """Share of an evaluation set's texts that may stand in a corpus with all their n-grams; above it the set itself is
    taken to be in the training data, and nothing is built."""

    @property
    def benchmarks(self) -> BenchmarksSpec:
        """What is looked for; `max_inside` decides whether there is a result, not which."""
        return BenchmarksSpec.model_validate(self.model_dump(exclude={"max_inside"}))


class ContaminationSpec(Spec):
    """One corpus looked through for evaluation sets: done once, shared by every dose."""

    curation: Annotated[Location, NotIdentity]
    """Curation artifact."""
    corpus: str
    """Corpus in it."""
    sets: BenchmarksSpec
    """Evaluation sets and their n-grams."""
