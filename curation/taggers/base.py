"""What a tagger is: texts in, scored spans out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from curation.corpus.records import Span
from curation.scorers import Scorer
from curation.scoring.unscored import out_of_languages, why_not_text, why_unscored
from curation.taggers.options import TaggerSpec


class Tagger(ABC):
    """Finds the risky stretches of texts. A tagger is made anew for every shard, so heavy weights are loaded once per
    process by whoever holds them (`loaded_scorer`), not here.
    """

    options: ClassVar[type[TaggerSpec]]
    attributes: tuple[str, ...]
    """Attributes that spans can have."""
    scorer: Scorer | None = None
    """What it scores with, if that is a scorer."""
    languages: tuple[str, ...] = ()
    """Languages (ISO 639-1) that its spans mean something in; empty where nobody has said."""

    @abstractmethod
    def __init__(self, spec: Any) -> None: ...

    @staticmethod
    @abstractmethod
    def inputs(spec: Any) -> dict[str, str]:
        """Checksums of the weights that `spec` means, by name, found without loading them."""

    def why_unscored(self, text: str, metadata: Mapping[str, Any]) -> str:
        """Why it cannot tell where a document's risky stretches are; '' where it can."""
        why = why_unscored(text, self.scorer) if self.scorer else why_not_text(text)
        return why or out_of_languages(metadata, self.languages)

    @abstractmethod
    def tag(self, texts: list[str]) -> list[list[Span]]:
        """For each text its spans at or above the floor, in order of start. Raises ScoringError."""
