"""The YAML of `kind: distillation`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from curation.scorers.options import AnyScorer
from curation.sources.spec import MAX_BAD_SHARE, AnySource
from infra.config.identity import NotIdentity
from infra.config.spec import FileName, Seed, Spec


class DistillationSpec(Spec):
    """Unlabelled texts and a teacher in, a linear scorer out."""

    name: FileName
    """Folder of the artifact below runs/."""
    scorer: AnyScorer
    """The teacher."""
    sources: tuple[AnySource, ...] = Field(min_length=1)
    """Texts to learn from: best those of the corpus that the student will see."""
    texts: int = Field(20_000, ge=200)
    """At most this many pieces of text, drawn at random; the teacher scores them all."""
    passage: int = Field(200, ge=50, le=100_000)
    """Longest piece of text, in characters, that both see at once; give the cascade's."""
    ngrams: tuple[int, int] = (2, 5)
    """Shortest and longest run of letters, within words, that is a feature."""
    hash_bits: int = Field(20, ge=10, le=26)
    """The table of features has 2**hash_bits entries of 4 bytes for each attribute, and one more."""
    penalty: float = Field(1.0, gt=0)
    """L2 penalty on the weights."""
    max_bad_share: Annotated[float, NotIdentity] = Field(MAX_BAD_SHARE, ge=0, le=1)
    """Share of unusable lines above which the training stops; no part of the fingerprint."""
    held_out: float = Field(0.2, gt=0, lt=1)
    """Share of the pieces that the student is judged on and has not seen. Equal pieces stay together."""
    seed: Seed = 0
    """Of the draws."""

    @field_validator("ngrams")
    @classmethod
    def _in_order(cls, value: tuple[int, int]) -> tuple[int, int]:
        if not 1 <= value[0] <= value[1] <= 8:
            raise ValueError("write it as [shortest, longest] with 1 <= shortest <= longest <= 8")
        return value
