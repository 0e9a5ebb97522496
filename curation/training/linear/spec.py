"""The YAML of `kind: linear`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from curation.sources.spec import MAX_BAD_SHARE
from curation.training.fasttext.spec import ExamplesSpec
from infra.config.identity import NotIdentity
from infra.config.spec import Seed, Spec


class LinearSpec(Spec):
    """Labelled texts in; a scorer with an attribute for every label but `clean` out."""

    name: str
    """Folder of the artifact below runs/."""
    examples: tuple[ExamplesSpec, ...] = Field(min_length=1)
    """What it learns from."""
    clean: str = "clean"
    """The label of texts that have none of the attributes."""
    languages: tuple[str, ...] = ()
    """Languages (ISO 639-1) of the texts; the scorer's card repeats them."""
    longest: int = Field(1000, ge=50)
    """Characters of a text that it learns from, at most."""
    hash_bits: int = Field(20, ge=10, le=24)
    """Words and letter runs have a table of 2**hash_bits entries of 8 bytes each, and 4 more for each attribute."""
    strength: float = Field(1.0, gt=0)
    """Inverse of the L2 penalty on the weights (scikit-learn's C)."""
    max_bad_share: Annotated[float, NotIdentity] = Field(MAX_BAD_SHARE, ge=0, le=1)
    """Share of unusable lines above which the training stops; no part of the fingerprint."""
    held_out: float = Field(0.1, gt=0, lt=1)
    """Share of the texts that it is calibrated (half of them) and judged (the other half) on. Equal texts stay
    together."""
    seed: Seed = 0
    """Of the hold-out and of the solver."""
