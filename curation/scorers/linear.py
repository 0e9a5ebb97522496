"""The scorer `linear`: a linear model of words and letter runs that `kind: linear` trained."""

from __future__ import annotations

from curation.models.linear import LinearModel, linear_digests, load_linear
from curation.scorers.base import Card
from curation.scorers.base_stored import StoredScorer
from curation.scorers.options import LinearScorerSpec

_BLIND_SPOTS = "words, pairs of words and spelling, not meaning: negation, quotation, irony, most implicit hate"


class Linear(StoredScorer["LinearModel"]):
    """Calibrated probabilities of the labels that the model was taught."""

    options = LinearScorerSpec
    library = "scikit-learn"
    kind = "linear"
    documents_together = 1024  # a call costs as much as some dozen texts

    @staticmethod
    def model(folder: str) -> LinearModel:
        """See StoredScorer."""
        return load_linear(folder)

    @staticmethod
    def digests(folder: str) -> list[str]:
        """See StoredScorer."""
        return linear_digests(folder)

    @staticmethod
    def card(spec: LinearScorerSpec) -> Card:
        """The languages of the texts that it was taught with."""
        return Card(Linear.model(spec.path).languages, _BLIND_SPOTS)

    def known_words(self, text: str) -> tuple[int, int]:
        """See Scorer."""
        return self._model.known_words(text)
