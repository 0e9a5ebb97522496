"""The sections of the evaluations in `kind: analysis`; each has a key of its own. Light to import."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from curation.scorers.options import AnyScorer
from curation.sources.spec import SourceSpec
from infra.config.identity import NotIdentity
from infra.config.spec import Seed, Spec


class CrossEntropySpec(Spec):
    """Cross-entropy on documents that the mixture holds out."""

    component: str = "clean"
    """Component of the mixture whose held-out documents are read."""
    max_documents: int | None = Field(None, ge=2)
    """At most this many documents, the first ones of the hold-out."""
    max_tokens_per_document: int | None = Field(None, ge=2)
    """Only the first tokens of each document count."""


class ProbesSpec(Spec):
    """Linear probes of every head, on the texts of `labelled:`."""

    folds: int = Field(5, ge=2)
    """Folds of the cross-validation."""
    seed: Seed = 0
    """Draws the folds, and the texts where `labelled:` has no seed; the same for all arms. In a study the texts are
    those that the arm's methods are fitted on.
    """


class ToxicitySpec(Spec):
    """Toxicity of what the model writes."""

    prompts: Annotated[SourceSpec, NotIdentity]
    """Where the prompts come from."""
    limit: int | None = Field(None, ge=2)
    """At most this many prompts, a seeded choice (files are often sorted by kind)."""
    stored_scores: dict[str, str] = Field(default_factory=dict)
    """Scores that came with the prompts: attribute -> dotted key; kept in the results."""
    samples: int = Field(1, ge=1)
    """Continuations of each prompt."""
    max_new_tokens: int = Field(20, ge=1)
    """Tokens of a continuation, at most."""
    top_p: float = Field(0.9, gt=0, le=1)
    """Nucleus: sample among the likeliest tokens of this total probability."""
    temperature: float = Field(1.0, ge=0)
    """0 takes the likeliest token."""
    scorer: Annotated[AnyScorer, NotIdentity]
    """What decides how toxic a continuation is."""
    also: Annotated[tuple[AnyScorer, ...], NotIdentity] = ()
    """Further scorers whose scores are kept beside."""
    attribute: str = "toxicity"
    """Attribute of `scorer` that counts."""
    seed: Seed = 0
    """Draws prompts and continuations; the same for all arms, so that they are paired."""

    @model_validator(mode="after")
    def _distinct_scorers(self) -> ToxicitySpec:
        if self.scorer in self.also:
            raise ValueError("`also` holds the scorer that counts anyway; take it out")
        return self
