"""The scorer `distilled`: a linear student of a costly scorer, trained by `kind: distillation`; made for gates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from curation.scorers.base import Card, Scorer, ScorerSpec
from infra.fingerprint import digest
from infra.spec import Location

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from curation.distillation.student import Student

_BLIND_SPOTS = "what its teacher does not see, and what no linear model does: negation, quotation, word order"


class DistilledSpec(ScorerSpec):
    """A student and where it is."""

    name: Literal["distilled"] = "distilled"
    path: Location
    """Folder of a `kind: distillation` artifact."""
    languages: tuple[str, ...] = ()
    """Languages (ISO 639-1) of the texts that it learnt from."""


class Distilled(Scorer):
    """The teacher's attributes, as a linear model of letter runs guesses them."""

    options = DistilledSpec

    def __init__(self, spec: DistilledSpec, student: Student) -> None:
        self._student = student
        self.attributes = student.attributes
        self.identity = f"distilled@{self.weights(spec)[:12]}"

    @classmethod
    def load(cls, spec: DistilledSpec) -> Distilled:
        """Load the model. Raises InputError where there is none."""
        from curation.distillation.student import load_student

        return cls(spec, load_student(spec.path))

    @classmethod
    def weights(cls, spec: DistilledSpec) -> str:
        """SHA-256 over the model's files."""
        from curation.distillation.student import student_digests

        return digest(student_digests(spec.path))

    @staticmethod
    def card(spec: DistilledSpec) -> Card:
        """What holds for every linear model of letters."""
        return Card(spec.languages, _BLIND_SPOTS)

    def _raw_scores(self, texts: list[str]) -> NDArray[np.float32]:
        return self._student.scores(texts)
