"""The tagger `lexical`: a trained linear model of words, their neighbours and their context; see `kind: tagger`."""

from __future__ import annotations

from typing import ClassVar, Literal

from curation.taggers.base_trained import TrainedSpec, TrainedTagger


class LexicalTaggerSpec(TrainedSpec):
    """A tagger trained with `model: {name: lexical}`."""

    name: Literal["lexical"] = "lexical"


class LexicalTagger(TrainedTagger):
    """Hundreds of thousands of words a second and core."""

    options = LexicalTaggerSpec
    size: ClassVar[str] = "lexical"
