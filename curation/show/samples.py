"""Samples of a corpus as token heat-maps: of what stayed, the riskiest first, and of what was removed, by reason."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pyarrow.parquet as pq

from curation.corpus.records import Document, Span
from curation.corpus.tagged import TaggedCorpus
from infra.render.html import escape, heatmap

_SHARDS = 8  # of a corpus that samples are taken from, at even distances
_LOOKED_AT = 250  # documents of each
_RISKIEST, _UNDECIDED, _HARMLESS = 3, 2, 2  # samples of each sort
_SHOWN = 1200  # characters of a sample
_REASONS = 12  # of removal that samples are shown of


def remaining(corpus: TaggedCorpus, markers: set[str]) -> str:
    """The riskiest, the least decided and the most harmless among documents from all over the corpus; a score that is
    one of the `markers` says nothing about risk.
    """
    documents = _chosen(corpus, markers)
    return "".join(_drawn(document.id, _scores(document), document.text, document.spans) for document in documents)


def _chosen(corpus: TaggedCorpus, markers: set[str]) -> list[Document]:
    shards = _spread(corpus.shards)
    documents = [document for shard in shards for document in islice(corpus.documents_of(shard), _LOOKED_AT)]
    risk = {id(document): _risk(document, markers) for document in documents}
    documents.sort(key=lambda document: -risk[id(document)])
    riskiest, rest = documents[:_RISKIEST], documents[_RISKIEST:]
    by_doubt = sorted(rest, key=lambda document: abs(risk[id(document)] - 0.5))
    undecided = {id(document) for document in by_doubt[:_UNDECIDED]}
    harmless = [document for document in rest if id(document) not in undecided][-_HARMLESS:]
    return [*riskiest, *(document for document in rest if id(document) in undecided), *harmless]


def _spread(shards: tuple[str, ...]) -> list[str]:
    """At most so many shards, from the first to the last."""
    if len(shards) <= _SHARDS:
        return list(shards)
    return [shards[index * (len(shards) - 1) // (_SHARDS - 1)] for index in range(_SHARDS)]


def _risk(document: Document, markers: set[str]) -> float:
    """The highest score, of the document or of a span."""
    scores = [score for name, score in document.scores.items() if name not in markers]
    return max([*scores, *(span.score for span in document.spans or ())], default=0.0)


def _scores(document: Document) -> str:
    return ", ".join(f"{attribute} {score:.3f}" for attribute, score in document.scores.items()) or "no score"


def removed(artifact: Path, corpus: str) -> str:
    """One removed document for each step and reason."""
    return "".join(
        _drawn(name, f"{step}: {reason}", text, None) for step, reason, name, text in _first(artifact, corpus)
    )


def _first(artifact: Path, corpus: str) -> Iterator[tuple[str, str, str, str]]:
    seen: set[tuple[str, str]] = set()
    for shard in _spread(tuple(sorted(str(file) for file in (artifact / "excluded" / corpus).glob("*.parquet")))):
        with pq.ParquetFile(shard) as file:
            batch = next(file.iter_batches(batch_size=_LOOKED_AT, columns=["id", "text", "step", "reason"]), None)
        for row in batch.to_pylist() if batch else []:
            sort = (row["step"], row["reason"])
            if sort not in seen and len(seen) < _REASONS and row["text"].strip():
                seen.add(sort)
                yield *sort, row["id"], row["text"]


def _drawn(name: str, caption: str, text: str, spans: list[Span] | None) -> str:
    start = _window(text, spans or [])
    end = start + _SHOWN
    before, after = "…" if start else "", "…" if end < len(text) else ""
    marks = [(len(before) + span.start - start, len(before) + span.end - start, span.score)
             for span in spans or () if span.end > start and span.start < end]  # fmt: skip
    return f"<h4>{escape(name)}</h4><p>{escape(caption)}</p>{heatmap(before + text[start:end] + after, marks)}"


def _window(text: str, spans: list[Span]) -> int:
    """Where the shown part of a long text begins: so that its riskiest span stands in the middle."""
    if len(text) <= _SHOWN or not spans:
        return 0
    riskiest = max(spans, key=lambda span: span.score)
    return max(0, min((riskiest.start + riskiest.end - _SHOWN) // 2, len(text) - _SHOWN))
