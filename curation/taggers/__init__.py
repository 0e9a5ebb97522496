"""Taggers, one a file: the file's name is the name in YAML."""

from __future__ import annotations

from curation.scorers.base import Scorer
from curation.taggers.base import Tagger, TaggerSpec
from infra.registry import Registry

TAGGERS: Registry[Tagger] = Registry("curation.taggers", Tagger)  # type: ignore[type-abstract]


def make_tagger(spec: TaggerSpec, scorer: Scorer) -> Tagger:
    """The tagger that `spec` names, on top of a loaded scorer."""
    return TAGGERS.get(spec.name)(spec, scorer)


__all__ = ["TAGGERS", "Tagger", "TaggerSpec", "make_tagger"]
