"""What a tagger is: texts in, scored spans out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from curation.records import Span
from infra.spec import Spec


class TaggerSpec(Spec):
    """A tagger and its options; every tagger's file declares its own."""

    name: str
    keep_at_or_above: float
    """Spans below this score are not kept; a token without a span is therefore known to score below it."""


class Tagger(ABC):
    """Finds the risky stretches of texts. A tagger is made anew for every shard, so heavy weights are loaded once per
    process by whoever holds them (`loaded_scorer`), not here.
    """

    options: ClassVar[type[TaggerSpec]]
    attributes: tuple[str, ...]
    """Attributes that spans can have."""

    @abstractmethod
    def __init__(self, spec: Any) -> None: ...

    @staticmethod
    @abstractmethod
    def inputs(spec: Any) -> dict[str, str]:
        """Checksums of the weights that `spec` means, by name, found without loading them."""

    @abstractmethod
    def tag(self, texts: list[str]) -> list[list[Span]]:
        """For each text its spans at or above the floor, in order of start. Raises ScoringError."""
