"""Trained taggers as artifacts: `card.json` beside the weights, and what loads them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from curation.corpus.records import Span
from curation.token_models.base import TokenModel, WordScores
from curation.token_models.gate import Gate
from curation.token_models.lexical import LexicalModel
from curation.token_models.transformer import TransformerModel
from infra.artifacts.artifact import read_artifact
from infra.artifacts.inputs import open_input
from infra.artifacts.records import JsonObject, read_record

KIND = "tagger"
CARD = "card.json"


@dataclass(frozen=True, kw_only=True)
class ModelRecord:
    """A token model's name, and what `load` needs beside its files."""

    name: str
    settings: JsonObject


@dataclass(frozen=True, kw_only=True)
class TextCounts:
    """Texts, their words, and how many of these are risky; `clean_texts` are known to hold nothing risky."""

    texts: int
    words: int
    risky_words: int
    clean_texts: int = 0


@dataclass(frozen=True, kw_only=True)
class ReliabilityBin:
    """Words whose scores lie in one tenth of the range: their mean score, and the share of them that is risky."""

    words: int
    score: float
    risky: float


@dataclass(frozen=True, kw_only=True)
class Reliability:
    """Brier score and expected calibration error of words' scores, and the bins of the latter."""

    brier: float
    ece: float
    bins: tuple[ReliabilityBin, ...]


@dataclass(frozen=True, kw_only=True)
class Quality:
    """Figures on one set of texts: character F1 as [value, low, high], and how well scores are calibrated."""

    texts: int
    words: int
    risky_words: int
    f1: tuple[float, float, float]
    calibration: Reliability


@dataclass(frozen=True, kw_only=True)
class FalseAlarms:
    """How many of the clean texts that were held out, and of their words, are marked."""

    texts: int
    marked_texts: int
    words: int
    marked_words: int


@dataclass(frozen=True, kw_only=True)
class TaggerCard:
    """card.json of a tagger. `gate` and `clean` are None in taggers of version 1, and `gate` where none was fitted."""

    attribute: str
    threshold: float
    languages: tuple[str, ...]
    model: ModelRecord
    gate: JsonObject | None = None
    training: TextCounts
    validation: Quality
    clean: FalseAlarms | None = None
    tests: dict[str, Quality]


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


def read_card(path: str | Path) -> TaggerCard:
    """The card of a tagger artifact. Raises InputError, ArtifactError."""
    return read_record(TaggerCard, read_artifact(path, KIND).path / CARD)


def load_trained(path: str | Path) -> Trained:
    """Load a tagger artifact, once per process for the same content. Raises InputError, ArtifactError."""
    return _loaded(str(path), open_input(path, KIND).fingerprint)


@lru_cache(maxsize=4)
def _loaded(path: str, fingerprint: str) -> Trained:
    card = read_card(path)
    name = card.model.name
    model = model_class(name).load(Path(path), card.model.settings)
    if card.gate:
        model.gate = Gate.load(Path(path), card.gate)
    return Trained(model, card.attribute, card.threshold, f"{name}@{fingerprint[:12]}")


def model_class(name: str) -> type[TokenModel]:
    """The class of a model by its name in YAML."""
    if name == "lexical":
        return LexicalModel

    assert name == "transformer", name
    return TransformerModel
