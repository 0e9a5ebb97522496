"""What a tagger is: texts in, scored spans out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from curation.records import Span
from curation.scorers.base import Scorer
from infra.spec import Spec


class TaggerSpec(Spec):
    """A tagger and its options; every tagger's file declares its own."""

    name: str
    keep_at_or_above: float
    """Spans below this score are not kept; a token without a span is therefore known to score below it."""


class Tagger(ABC):
    """Finds the risky stretches of texts."""

    options: ClassVar[type[TaggerSpec]]

    @abstractmethod
    def __init__(self, spec: Any, scorer: Scorer) -> None: ...

    @abstractmethod
    def tag(self, texts: list[str]) -> list[list[Span]]:
        """For each text its spans at or above the floor, in order of start. Raises ScoringError."""
