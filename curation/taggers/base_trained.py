"""What the taggers share that load an artifact of `kind: tagger`."""

from __future__ import annotations

from typing import ClassVar

from curation.corpus.records import Span
from curation.taggers.base import Tagger
from curation.taggers.options import TrainedSpec
from curation.token_models.trained import KIND, load_trained, read_card
from infra.artifacts.artifact import fingerprint_of
from infra.errors import InputError


class TrainedTagger(Tagger):
    """One span per word that scores at or above the floor; words with none between them can be joined later."""

    size: ClassVar[str]
    """The model's name, which the artifact must have too."""

    def __init__(self, spec: TrainedSpec) -> None:
        card = read_card(spec.path)
        size, self.languages = card.model.name, card.languages
        if size != self.size:
            raise InputError(f"{spec.path}: is a {size} tagger; write tagger: {{name: {size}, path: ...}}")
        self._floor, self._trained = spec.keep_at_or_above, load_trained(spec.path)
        self.attributes = (self._trained.attribute,)

    @staticmethod
    def inputs(spec: TrainedSpec) -> dict[str, str]:
        """The artifact's fingerprint."""
        return {"tagger": fingerprint_of(spec.path, KIND)}

    def tag(self, texts: list[str]) -> list[list[Span]]:
        """Spans in order of start."""
        return self._trained.spans(texts, self._floor)
