"""Taggers, one a file: the file's name is the name in YAML."""

from __future__ import annotations

from curation.taggers.base import Tagger, TaggerSpec
from infra.registry import Registry

TAGGERS: Registry[Tagger] = Registry("curation.taggers", Tagger)  # type: ignore[type-abstract]


def make_tagger(spec: TaggerSpec) -> Tagger:
    """The tagger that `spec` names, fresh: what a tagger learns of a text must not depend on what its process has read
    before, or the bytes would depend on the number of workers. Raises UnavailableError when weights cannot be had.
    """
    return TAGGERS.get(spec.name)(spec)


def tagger_inputs(spec: TaggerSpec) -> dict[str, str]:
    """Checksums of what a tagger works with, without loading it."""
    return TAGGERS.get(spec.name).inputs(spec)


__all__ = ["TAGGERS", "Tagger", "TaggerSpec", "make_tagger", "tagger_inputs"]
