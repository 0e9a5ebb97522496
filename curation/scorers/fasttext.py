"""The scorer `fasttext`: a fastText classifier, such as Dolma's Jigsaw models or one that `kind: fasttext` trained.

It is the cheapest scorer that learns from examples: a linear model on words and short runs of words or letters.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from curation.models.fasttext import FasttextModel, fasttext_digest, load_fasttext
from curation.scorers.base import Card, Scorer
from curation.scorers.options import FasttextScorerSpec
from infra.artifacts.fingerprint import digest

if TYPE_CHECKING:
    from numpy.typing import NDArray


class FasttextScorer(Scorer):
    """Probabilities of a classifier's labels."""

    options = FasttextScorerSpec
    library = "fasttext-community"

    def __init__(self, spec: FasttextScorerSpec, model: FasttextModel) -> None:
        groups: dict[str, tuple[str, ...]] = {label: (label,) for label in model.labels}
        if spec.labels:
            groups = {name: (labels,) if isinstance(labels, str) else labels for name, labels in spec.labels.items()}
        self._model = model
        self._columns = [[model.column_of(label) for label in group] for group in groups.values()]
        self.attributes = tuple(groups)
        self.identity = f"fasttext-{model.path.stem}@{self.weights(spec)[:12]}"

    @classmethod
    def load(cls, spec: FasttextScorerSpec) -> FasttextScorer:
        """Load the model. Raises InputError for a file that is none, or has not the labels."""
        return cls(spec, load_fasttext(_file(spec)))

    @classmethod
    def weights(cls, spec: FasttextScorerSpec) -> str:
        """SHA-256 over the file and the meaning of its labels."""
        return digest([fasttext_digest(_file(spec)), spec.model_dump(mode="json", include={"labels"})])

    @staticmethod
    def card(spec: FasttextScorerSpec) -> Card:
        """What the YAML says."""
        return Card(spec.languages, f"{_file(spec).stem}: {spec.blind_spots}")

    def known_words(self, text: str) -> tuple[int, int]:
        """See Scorer; a model with letter runs knows something of every word."""
        return self._model.known_words(text)

    def _raw_scores(self, texts: list[str]) -> NDArray[np.float32]:
        table = self._model.probabilities(texts)
        return np.stack([table[:, columns].sum(axis=1) for columns in self._columns], axis=1).clip(0, 1)


def _file(spec: FasttextScorerSpec) -> Path:
    path = Path(spec.model)
    return path / "model.bin" if path.is_dir() else path
