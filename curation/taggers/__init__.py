"""Taggers, one a file; a new one has its options in `options.py` and its class in the table here. Imports scorers and
token models; steps, the filter and what trains taggers import it.
"""

from __future__ import annotations

from curation.taggers.base import Tagger
from curation.taggers.options import TaggerSpec
from infra.config.registry import Registry

TAGGERS: Registry[Tagger] = Registry(
    "tagger",
    {
        "attribution": "curation.taggers.attribution:Attribution",
        "lexical": "curation.taggers.lexical:LexicalTagger",
        "sentences": "curation.taggers.sentences:Sentences",
        "transformer": "curation.taggers.transformer:TransformerTagger",
        "words": "curation.taggers.words:Words",
    },
)


def make_tagger(spec: TaggerSpec) -> Tagger:
    """The tagger that `spec` names, fresh: what a tagger learns of a text must not depend on what its process has read
    before, or the bytes would depend on the number of workers. Raises UnavailableError when weights cannot be had.
    """
    return TAGGERS.get(spec.name)(spec)


def tagger_inputs(spec: TaggerSpec) -> dict[str, str]:
    """Checksums of what a tagger works with, without loading it."""
    return TAGGERS.get(spec.name).inputs(spec)


__all__ = ["TAGGERS", "Tagger", "TaggerSpec", "make_tagger", "tagger_inputs"]
