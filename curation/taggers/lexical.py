"""The tagger `lexical`: a trained linear model of words, their neighbours and their context; see `kind: tagger`."""

from __future__ import annotations

from typing import ClassVar

from curation.taggers.base_trained import TrainedTagger
from curation.taggers.options import LexicalTaggerSpec


class LexicalTagger(TrainedTagger):
    """Hundreds of thousands of words a second and core."""

    options = LexicalTaggerSpec
    size: ClassVar[str] = "lexical"
