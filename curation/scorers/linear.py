"""The scorer `linear`: a linear model of words and letter runs that `kind: linear` trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from curation.scorers.base import Card, Scorer, ScorerSpec
from infra.fingerprint import digest
from infra.spec import Location

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from curation.linear_training.model import LinearModel

_BLIND_SPOTS = "words, pairs of words and spelling, not meaning: negation, quotation, irony, most implicit hate"


class LinearScorerSpec(ScorerSpec):
    """A model and where it is."""

    name: Literal["linear"] = "linear"
    path: Location
    """Folder of a `kind: linear` artifact."""


class Linear(Scorer):
    """Calibrated probabilities of the labels that the model was taught."""

    options = LinearScorerSpec
    documents_together = 1024  # a call costs as much as some dozen texts

    def __init__(self, spec: LinearScorerSpec, model: LinearModel) -> None:
        self._model = model
        self.attributes = model.attributes
        self.identity = f"linear@{self.weights(spec)[:12]}"

    @classmethod
    def load(cls, spec: LinearScorerSpec) -> Linear:
        """Load the model. Raises InputError where there is none."""
        from curation.linear_training.model import load_linear

        return cls(spec, load_linear(spec.path))

    @classmethod
    def weights(cls, spec: LinearScorerSpec) -> str:
        """SHA-256 over the model's files."""
        from curation.linear_training.model import linear_digests

        return digest(linear_digests(spec.path))

    @staticmethod
    def card(spec: LinearScorerSpec) -> Card:
        """The languages of the texts that it was taught with."""
        from curation.linear_training.model import load_linear

        return Card(load_linear(spec.path).languages, _BLIND_SPOTS)

    def known_words(self, text: str) -> tuple[int, int]:
        """See Scorer."""
        return self._model.known_words(text)

    def _raw_scores(self, texts: list[str]) -> NDArray[np.float32]:
        return self._model.scores(texts)
