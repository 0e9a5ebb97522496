"""The `tagger:` section of any YAML: the options of every tagger, told apart by `name`. Light to import."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, field_validator

from curation.scorers.options import AnyScorer, ScorerSpec, TransformerSpec
from infra.config.registry import options_by_name
from infra.config.spec import Location, Spec


class TaggerSpec(Spec):
    """A tagger and its options; every tagger's file declares its own."""

    name: str
    keep_at_or_above: float
    """Spans below this score are not kept; a token without a span is therefore known to score below it."""


class TrainedSpec(TaggerSpec):
    """A trained tagger."""

    path: Location
    """Artifact of `kind: tagger`."""
    keep_at_or_above: float = Field(0.05, gt=0, le=1)
    """Words that score below this get no span; in [0, 1]. The tagger's own threshold stands in its card."""


class AttributionSpec(TaggerSpec):
    """Words by what they contribute to a transformer scorer's score."""

    name: Literal["attribution"] = "attribution"
    scorer: AnyScorer
    """A transformer scorer: detoxify or transformers."""
    method: Literal["gradient_x_input", "integrated_gradients", "occlusion"] = "gradient_x_input"
    """Gradient × input costs about three passes; integrated gradients `steps` times that; occlusion a pass a word."""
    attribute: str | None = None
    """Which of the scorer's attributes; its first one where this is left out."""
    steps: int = Field(16, ge=2)
    """Points of integrated gradients."""
    batch_tokens: int = Field(2048, ge=64)
    """Pieces, padding included, that are seen at once."""
    keep_at_or_above: float = Field(0.05, gt=0, le=1)
    """Words that score below this get no span; in [0, 1]."""

    @field_validator("scorer")
    @classmethod
    def _has_gradients(cls, value: ScorerSpec) -> ScorerSpec:
        if not isinstance(value, TransformerSpec):
            fit = [name for name, kind in options_by_name(AnyScorer).items() if issubclass(kind, TransformerSpec)]
            raise ValueError(f"attribution needs a transformer scorer ({', '.join(fit)}); {value.name} is none")
        if value.calibration:
            raise ValueError("attribution looks into the scorer itself: leave out the scorer's calibration")
        return value


class LexicalTaggerSpec(TrainedSpec):
    """A tagger trained with `model: {name: lexical}`."""

    name: Literal["lexical"] = "lexical"


class SentencesSpec(TaggerSpec):
    """Sentence by sentence, with a scorer."""

    name: Literal["sentences"] = "sentences"
    scorer: AnyScorer
    """Scores each sentence as a text of its own."""
    keep_at_or_above: float = Field(1e-4, gt=0, le=1)
    """Sentences that score below this get no span; in [0, 1]. SLUNG's lower threshold (arXiv 2505.03052) is 1e-4."""


class TransformerTaggerSpec(TrainedSpec):
    """A tagger trained with `model: {name: transformer}`."""

    name: Literal["transformer"] = "transformer"


class WordsSpec(TaggerSpec):
    """Word by word, with a scorer."""

    name: Literal["words"] = "words"
    scorer: AnyScorer
    """Scores each word as a text of its own."""
    keep_at_or_above: float = Field(0.05, gt=0, le=1)
    """Words that score below this get no span; in [0, 1]."""


AnyTagger: TypeAlias = Annotated[
    AttributionSpec | LexicalTaggerSpec | SentencesSpec | TransformerTaggerSpec | WordsSpec,
    Field(discriminator="name"),
]
