"""Trained taggers as artifacts: `card.json` beside the weights, and what loads them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from curation.corpus.records import Span
from curation.token_models.base import TokenModel, WordScores
from curation.token_models.gate import Gate
from curation.token_models.lexical import LexicalModel
from curation.token_models.transformer import TransformerModel
from infra.artifacts.artifact import read_artifact
from infra.artifacts.inputs import open_input

KIND = "tagger"
CARD = "card.json"


@dataclass(frozen=True)
class Trained:
    """A loaded tagger. `threshold` is the one fitted on its validation texts."""

    model: TokenModel
    attribute: str
    threshold: float
    identity: str

    def spans(self, texts: list[str], floor: float) -> list[list[Span]]:
        """For each text its words at or above `floor`."""
        return [spans_of(words, self.attribute) for words in self.model.score(texts, floor)]


def spans_of(words: WordScores, attribute: str) -> list[Span]:
    """Scored words as spans."""
    scores = words.scores.tolist()
    return [Span(start, end, attribute, score) for (start, end), score in zip(words.spans, scores, strict=True)]


def read_card(path: str | Path) -> dict[str, Any]:
    """The card of a tagger artifact. Raises InputError, ArtifactError."""
    return dict(json.loads((read_artifact(path, KIND).path / CARD).read_text(encoding="utf-8")))


def load_trained(path: str | Path) -> Trained:
    """Load a tagger artifact, once per process for the same content. Raises InputError, ArtifactError."""
    return _loaded(str(path), open_input(path, KIND).fingerprint)


@lru_cache(maxsize=4)
def _loaded(path: str, fingerprint: str) -> Trained:
    card = read_card(path)
    name = card["model"]["name"]
    model = model_class(name).load(Path(path), card["model"]["settings"])
    if card.get("gate"):  # taggers of version 1 have none
        model.gate = Gate.load(Path(path), card["gate"])
    return Trained(model, card["attribute"], card["threshold"], f"{name}@{fingerprint[:12]}")


def model_class(name: str) -> type[TokenModel]:
    """The class of a model by its name in YAML."""
    if name == "lexical":
        return LexicalModel

    assert name == "transformer", name
    return TransformerModel
