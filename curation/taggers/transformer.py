"""The tagger `transformer`: a fine-tuned encoder that marks words; see `kind: tagger`."""

from __future__ import annotations

from typing import ClassVar, Literal

from curation.taggers.base_trained import TrainedSpec, TrainedTagger


class TransformerTaggerSpec(TrainedSpec):
    """A tagger trained with `model: {name: transformer}`."""

    name: Literal["transformer"] = "transformer"


class TransformerTagger(TrainedTagger):
    """Sees a word in its sentence; thousands of words a second and core."""

    options = TransformerTaggerSpec
    size: ClassVar[str] = "transformer"
