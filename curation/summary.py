"""Counts of a shard, and of corpora as their sums: what the manifest and the pages show."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from curation.records import Span

BINS = 20
"""Bins of a score histogram over [0, 1]; the last one holds 1.0."""
_MOST_WORDS = 200  # risky words that a shard's summary keeps


@dataclass
class Summary:
    """Sums over documents. `risky` counts documents that score at least 0.5, by attribute."""

    documents: int = 0
    characters: int = 0
    words: int = 0
    bytes: int = 0
    spans: int = 0
    bad_lines: int = 0
    histogram: dict[str, list[int]] = field(default_factory=dict)
    risky: Counter[str] = field(default_factory=Counter)
    sources: dict[str, dict[str, int]] = field(default_factory=dict)
    risky_words: Counter[str] = field(default_factory=Counter)

    def add(self, text: str, source: str, scores: dict[str, float], spans: list[Span] | None) -> None:
        """Count one document."""
        self.documents += 1
        self.characters += len(text)
        self.words += len(text.split())
        self.bytes += len(text.encode())
        risky = [attribute for attribute, score in scores.items() if score >= 0.5]
        self.risky.update(risky)
        for attribute, score in scores.items():
            self.histogram.setdefault(attribute, [0] * BINS)[min(int(score * BINS), BINS - 1)] += 1
        counts = self.sources.setdefault(source, {"documents": 0, "characters": 0, "risky": 0})
        counts["documents"] += 1
        counts["characters"] += len(text)
        counts["risky"] += bool(risky)
        self.spans += len(spans or ())
        self.risky_words.update(text[span.start : span.end].lower() for span in spans or () if span.score >= 0.5)

    def plus(self, other: Summary) -> Summary:
        """The summary of both."""
        histogram = {name: list(counts) for name, counts in self.histogram.items()}
        for name, counts in other.histogram.items():
            histogram[name] = [a + b for a, b in zip(histogram.get(name, [0] * BINS), counts, strict=True)]
        sources = {name: dict(counts) for name, counts in self.sources.items()}
        for name, more in other.sources.items():
            known = sources.get(name, dict.fromkeys(more, 0))
            sources[name] = {key: known[key] + value for key, value in more.items()}
        numbers = ("documents", "characters", "words", "bytes", "spans", "bad_lines")
        sums = {name: getattr(self, name) + getattr(other, name) for name in numbers}
        return Summary(**sums, histogram=histogram, risky=self.risky + other.risky, sources=sources,
                       risky_words=self.risky_words + other.risky_words)  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """Plain data, the most frequent risky words first; ties go by the alphabet, so that equal runs are equal."""
        words = sorted(self.risky_words.items(), key=lambda item: (-item[1], item[0]))[:_MOST_WORDS]
        counters = {"risky": dict(sorted(self.risky.items())), "risky_words": [list(word) for word in words]}
        return {**asdict(self), **counters}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Summary:
        """The inverse of `to_json`."""
        counters = {"risky": Counter(record["risky"]), "risky_words": Counter(dict(record["risky_words"]))}
        return cls(**{**record, **counters})
