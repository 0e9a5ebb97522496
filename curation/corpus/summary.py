"""Counts of a shard, and of corpora as their sums: what the manifest and the pages show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any

from curation.corpus.records import Span
from curation.corpus.risk_levels import SourceRisk

BINS = 20
"""Bins of a score histogram over [0, 1]; the last one holds 1.0."""
_MAX_WORDS = 200  # risky words that a shard's summary keeps
_LONGEST_WORD = 40  # characters; a span over more is a sentence, and there are too many of those to count each


@dataclass
class Summary:
    """Sums over documents. `risky` counts documents that score at least 0.5, by attribute; `nulls` those without a
    value of a kept key.
    """

    documents: int = 0
    characters: int = 0
    words: int = 0
    bytes: int = 0
    spans: int = 0
    bad_lines: int = 0
    histogram: dict[str, list[int]] = field(default_factory=dict)
    risky: Counter[str] = field(default_factory=Counter)
    sources: dict[str, SourceRisk] = field(default_factory=dict)
    risky_words: Counter[str] = field(default_factory=Counter)
    nulls: Counter[str] = field(default_factory=Counter)

    def add(
        self, text: str, source: str, scores: dict[str, float], spans: list[Span] | None,
        metadata: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:  # fmt: skip
        """Count one document."""
        self.nulls.update(key for key, value in metadata.items() if value is None)
        words = len(text.split())
        self.documents += 1
        self.characters += len(text)
        self.words += words
        self.bytes += len(text.encode())
        self.spans += len(spans or ())
        self.risky.update(attribute for attribute, score in scores.items() if score >= 0.5)
        for attribute, score in scores.items():
            self.histogram.setdefault(attribute, [0] * BINS)[min(int(score * BINS), BINS - 1)] += 1
        self.sources.setdefault(source, SourceRisk()).add(text, words, scores, spans or [])
        self.risky_words.update(text[span.start : span.end].lower() for span in spans or () if _is_risky_word(span))

    def take(self, other: Summary) -> None:
        """Add the counts of another."""
        for name in ("documents", "characters", "words", "bytes", "spans", "bad_lines"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for attribute, counts in other.histogram.items():
            known = self.histogram.get(attribute, [0] * BINS)
            self.histogram[attribute] = [a + b for a, b in zip(known, counts, strict=True)]
        for name, source in other.sources.items():
            self.sources.setdefault(name, SourceRisk()).take(source)
        self.risky.update(other.risky)
        self.risky_words.update(other.risky_words)
        self.nulls.update(other.nulls)

    @classmethod
    def total(cls, summaries: Iterable[Summary], bad_lines: int = 0) -> Summary:
        """The sum of several, which stay as they are."""
        total = cls(bad_lines=bad_lines)
        for summary in summaries:
            total.take(summary)
        return total

    def to_json(self) -> dict[str, Any]:
        """Plain data, the most frequent risky words first; ties go by the alphabet, so that equal runs are equal."""
        words = sorted(self.risky_words.items(), key=lambda item: (-item[1], item[0]))[:_MAX_WORDS]
        counters = {"risky": dict(sorted(self.risky.items())), "risky_words": [list(word) for word in words],
                    "nulls": dict(sorted(self.nulls.items()))}  # fmt: skip
        return {**asdict(self), **counters}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Summary:
        """The inverse of `to_json`."""
        counters = {"risky": Counter(record["risky"]), "risky_words": Counter(dict(record["risky_words"])),
                    "nulls": Counter(record.get("nulls", {}))}  # fmt: skip
        sources = {name: SourceRisk.from_json(source) for name, source in record["sources"].items()}
        return cls(**{**record, **counters, "sources": sources})


def _is_risky_word(span: Span) -> bool:
    return span.score >= 0.5 and span.end - span.start <= _LONGEST_WORD
