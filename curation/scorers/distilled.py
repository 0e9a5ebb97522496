"""The scorer `distilled`: a linear student of a costly scorer, trained by `kind: distillation`; made for gates."""

from __future__ import annotations

from curation.models.student import Student, load_student, student_digests
from curation.scorers.base import Card
from curation.scorers.base_stored import StoredScorer
from curation.scorers.options import DistilledSpec

_BLIND_SPOTS = "what its teacher does not see, and what no linear model does: negation, quotation, word order"


class Distilled(StoredScorer["Student"]):
    """The teacher's attributes, as a linear model of letter runs guesses them."""

    options = DistilledSpec
    kind = "distilled"

    @staticmethod
    def model(folder: str) -> Student:
        """See StoredScorer."""
        return load_student(folder)

    @staticmethod
    def digests(folder: str) -> list[str]:
        """See StoredScorer."""
        return student_digests(folder)

    @staticmethod
    def card(spec: DistilledSpec) -> Card:
        """What holds for every linear model of letters."""
        return Card(spec.languages, _BLIND_SPOTS)
