"""The tagger `transformer`: a fine-tuned encoder that marks words; see `kind: tagger`."""

from __future__ import annotations

from typing import ClassVar

from curation.taggers.base_trained import TrainedTagger
from curation.taggers.options import TransformerTaggerSpec


class TransformerTagger(TrainedTagger):
    """Sees a word in its sentence; thousands of words a second and core."""

    options = TransformerTaggerSpec
    size: ClassVar[str] = "transformer"
