"""The `scorer:` section of any YAML: the options of every scorer, told apart by `name`. Light to import."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, Field, Tag, model_validator

from infra.config.identity import NotIdentity, OnlyIfSet
from infra.config.spec import BY_FORM, Location, Spec

Precision = Literal["float32", "bfloat16", "int8", "onnx", "onnx-int8"]

Device = Literal["cpu", "cuda"]

Labels = dict[str, Annotated[Annotated[str, Tag("value")] | Annotated[tuple[str, ...], Tag("list")], BY_FORM]]
"""Attribute -> a classifier's label, or labels whose probabilities add up."""


class ScorerSpec(Spec):
    """A scorer and its options; every scorer's file declares its own."""

    name: str
    calibration: Location | None = None
    """Folder of a `kind: calibration` artifact that was fitted to this scorer: its scores then mean what the reference
    scores mean. Attributes without a reference stay as they are."""
    timeout_seconds: Annotated[float | None, OnlyIfSet] = Field(None, gt=0)
    """The scorer then runs in a process of its own, which is ended where 32 texts take longer: they have no score, nor
    has a text on which it dies. Without it, a scorer that hangs stops the work."""


class TransformerSpec(ScorerSpec):
    """How a transformer classifier is computed."""

    precision: Literal["auto", "worker"] | Precision = "auto"
    """Number format: float32, bfloat16, int8, onnx or onnx-int8. auto takes the fastest on the machine that scores,
    measured once per model. A score differs from float32's by at most 1e-4 (float32, onnx), 0.02 (bfloat16)
    or 0.1 (8 bits), and as much from the same text's in another batch."""
    device: Literal["auto", "worker"] | Device = "auto"
    """Where it is computed; auto takes a GPU if the machine that scores has one. What a configuration shows as
    `worker`, here and under `precision`, was left to the machines of a cluster."""
    threads: int = Field(1, ge=1)
    """Processor cores that one worker uses. One worker per core with one thread each does more than one with many."""
    batch_tokens: Literal["auto"] | Annotated[int, Field(ge=64)] = "auto"
    """Tokens, padding included, that are scored at once. auto is 2,048 on a CPU; on a GPU it is measured once per
    model, and halved where the memory turns out too small."""
    window: int | None = Field(None, ge=16)
    """Tokens of a text that are read at once; by default what the model can read, at most 512."""
    overlap: int = Field(32, ge=0)
    """Tokens that the next window of a longer text repeats; at most half a window."""


class StoredScorerSpec(ScorerSpec):
    """A model and where it is."""

    path: Location
    """Folder of the artifact."""


class DetoxifySpec(TransformerSpec):
    """A released model by name, or a checkpoint file with its configuration folder."""

    name: Literal["detoxify"] = "detoxify"
    model: Literal["original", "unbiased", "multilingual", "original-small", "unbiased-small"] = "unbiased"
    """Which released model; downloaded once. Where a checkpoint is given, the one that it is a variant of."""
    checkpoint: Location | None = None
    """A checkpoint file in detoxify's format; works offline together with `config`."""
    config: Location | None = None
    """Folder with config.json and the tokenizer's files of the checkpoint's base model."""

    @model_validator(mode="after")
    def _together(self) -> DetoxifySpec:
        if (self.checkpoint is None) != (self.config is None):
            raise ValueError("checkpoint and config go together: the file, and the folder of its base model")
        return self


class DistilledSpec(StoredScorerSpec):
    """A `kind: distillation` artifact."""

    name: Literal["distilled"] = "distilled"
    languages: tuple[str, ...] = ()
    """Languages (ISO 639-1) of the texts that it learnt from."""


FASTTEXT_BLIND_SPOTS = (
    "a fastText classifier sees words and their neighbours, not meaning: negation, quotation and implicit hate"
)


class FasttextScorerSpec(ScorerSpec):
    """A fastText model and what its labels mean."""

    name: Literal["fasttext"] = "fasttext"
    model: Location
    """A model (.bin or .ftz), or the folder of a `kind: fasttext` artifact."""
    labels: Labels = Field(default_factory=dict)
    """Attribute -> label, or labels whose probabilities add up: `{toxicity: toxic}`. By default every label is an
    attribute of its own name."""
    languages: tuple[str, ...] = ()
    """Languages (ISO 639-1) of the examples that the model learned from."""
    blind_spots: str = FASTTEXT_BLIND_SPOTS
    """What is known to mislead it; shown wherever its scores are."""


class LinearScorerSpec(StoredScorerSpec):
    """A `kind: linear` artifact."""

    name: Literal["linear"] = "linear"


class ProfanitySpec(ScorerSpec):
    """alt-profanity-check; has no options."""

    name: Literal["profanity"] = "profanity"


class TransformersSpec(TransformerSpec):
    """A sequence classifier and what its classes mean."""

    name: Literal["transformers"] = "transformers"
    model: str
    """Name on the hub (`org/model`)."""
    folder: Location | None = None
    """A local copy to read instead; with it, `model` is only what results call it."""
    revision: str = "main"
    """Branch, tag or commit on the hub."""
    labels: Labels = Field(default_factory=dict)
    """Attribute -> the model's class, or classes whose probabilities add up: `{toxicity: LABEL_1}`. By default every
    class is an attribute of its own name."""
    activation: Literal["auto", "sigmoid", "softmax"] = "auto"
    """How logits become probabilities; auto goes by the model's configuration: sigmoid for a model of independent
    labels or of one label, else softmax."""
    languages: tuple[str, ...] = ()
    """Languages (ISO 639-1) that the model was made for."""
    blind_spots: str = "nothing has been said about what this classifier does not see"
    """What is known to mislead it; shown wherever its scores are."""


def _some_word(entry: str) -> str:
    if not entry.strip() or "\0" in entry:
        raise ValueError("an entry is a word or phrase, without NUL characters")
    return entry


class WordListSpec(ScorerSpec):
    """A list of words and phrases: written here, or in a file."""

    name: Literal["word_list"] = "word_list"
    words: Annotated[
        Annotated[tuple[Annotated[str, AfterValidator(_some_word)], ...], Field(min_length=1)] | None, NotIdentity
    ] = None
    """Words and phrases. They count as whole words: where one begins or ends with a letter, digit or underscore, none
    stands beside it. Case does not count, and any white space is one space."""
    path: Annotated[Location | None, NotIdentity] = None
    """File of one word or phrase a line, instead of `words`; empty lines and lines that begin with # are left out."""
    attribute: str = Field("toxicity", min_length=1)
    """What a text with a listed word has a score of 1 of."""
    languages: tuple[str, ...] = ()
    """Languages (ISO 639-1) of the words. Where some are given, texts in others have no score, as with any scorer."""

    @model_validator(mode="after")
    def _one_list(self) -> WordListSpec:
        if (self.words is None) == (self.path is None):
            raise ValueError("list words under `words`, or give a file of them as `path`: one of the two")
        return self


Member: TypeAlias = Annotated[
    DetoxifySpec
    | DistilledSpec
    | FasttextScorerSpec
    | LinearScorerSpec
    | ProfanitySpec
    | TransformersSpec
    | WordListSpec,
    Field(discriminator="name"),
]
"""A scorer of an ensemble. One of ensembles is refused: it says nothing that one ensemble cannot say."""


class EnsembleSpec(ScorerSpec):
    """Scorers and how their scores are put together, for the attributes that all of them have."""

    name: Literal["ensemble"] = "ensemble"
    scorers: tuple[Member, ...] = Field(min_length=2)
    """The members; each may carry a calibration of its own, which a mean needs to mean something."""
    combine: Literal["mean", "max"] = "mean"
    """mean: the members' weighted mean; max: the highest, which misses least and cries out most."""
    weights: tuple[float, ...] | None = None
    """Of the mean, one for each member; they need not add up to 1."""

    @model_validator(mode="after")
    def _weights_fit(self) -> EnsembleSpec:
        if self.weights is not None:
            if self.combine != "mean":
                raise ValueError("weights go with combine: mean")
            if len(self.weights) != len(self.scorers):
                raise ValueError(f"weights: {len(self.weights)} of them for {len(self.scorers)} scorers")
            if min(self.weights) < 0 or not sum(self.weights):
                raise ValueError("weights are at least 0, and one is above")
        return self


AnyScorer: TypeAlias = Annotated[
    DetoxifySpec
    | DistilledSpec
    | EnsembleSpec
    | FasttextScorerSpec
    | LinearScorerSpec
    | ProfanitySpec
    | TransformersSpec
    | WordListSpec,
    Field(discriminator="name"),
]
