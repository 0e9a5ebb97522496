"""How risky each source is: its documents and words by the thresholds that their scores reach."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Any

from curation.corpus.records import Span

THRESHOLDS = (0.0001, 0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99)
"""Scores at which the share of risky documents and words is told; SLUNG's (Wang et al. 2025, arXiv 2505.03052) are the
first and the last.
"""


def _none() -> list[int]:
    return [0] * (len(THRESHOLDS) + 1)


@dataclass
class Levels:
    """Documents and words of one source and attribute: entry n counts those whose score reaches just n thresholds."""

    documents: list[int] = field(default_factory=_none)
    words: list[int] = field(default_factory=_none)

    def take(self, other: Levels) -> None:
        """Add the counts of another."""
        self.documents = [a + b for a, b in zip(self.documents, other.documents, strict=True)]
        self.words = [a + b for a, b in zip(self.words, other.words, strict=True)]


@dataclass
class SourceRisk:
    """Sums over the documents of one source; `levels` by attribute."""

    documents: int = 0
    characters: int = 0
    words: int = 0
    levels: dict[str, Levels] = field(default_factory=dict)

    def add(self, text: str, words: int, scores: dict[str, float], spans: list[Span]) -> None:
        """Count one document. A span counts for the words that it holds, one at least."""
        self.documents += 1
        self.characters += len(text)
        self.words += words
        for attribute, score in scores.items():
            self._of(attribute).documents[bisect_right(THRESHOLDS, score)] += 1
        for span in spans:
            held = len(text[span.start : span.end].split()) or 1
            self._of(span.attribute).words[bisect_right(THRESHOLDS, span.score)] += held

    def take(self, other: SourceRisk) -> None:
        """Add the sums of another."""
        self.documents += other.documents
        self.characters += other.characters
        self.words += other.words
        for attribute, levels in other.levels.items():
            self._of(attribute).take(levels)

    def at_or_above(self, attribute: str, what: str) -> list[int]:
        """How many `documents` or `words` reach each threshold."""
        counts: list[int] = getattr(self.levels.get(attribute, Levels()), what)
        return [sum(counts[index:]) for index in range(1, len(counts))]

    def _of(self, attribute: str) -> Levels:
        levels = self.levels.get(attribute)
        if levels is None:
            levels = self.levels[attribute] = Levels()
        return levels

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> SourceRisk:
        """The inverse of `dataclasses.asdict`."""
        return cls(**{**record, "levels": {name: Levels(**levels) for name, levels in record["levels"].items()}})
