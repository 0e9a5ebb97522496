"""Pages of a curation artifact: counts, score histograms, and samples with their risky words marked."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from curation.corpus import TaggedCorpus, read_manifest
from curation.records import Document
from curation.summary import BINS
from infra.artifact import Artifact
from infra.html import escape, heatmap, table_html
from infra.stage import Page, Table

_SAMPLES = 6  # documents of a corpus that a page shows
_LOOKED_AT = 2000  # documents among which samples are chosen
_SHOWN = 1500  # characters of a sample
_WORDS = 20
_SOURCES = 40


def page_of(artifact: Artifact) -> Page:
    """Tables for the terminal, and the same with histograms and heat-maps as HTML."""
    manifest = read_manifest(artifact.path)
    corpora: dict[str, dict[str, Any]] = manifest["corpora"]
    tables = (_overview(corpora), _sources(corpora), _risky_words(corpora))
    scorers = ", ".join(f"<code>{escape(step['scorer'])}</code>" for step in manifest["steps"] if "scorer" in step)
    by = f"<p>Scored by {scorers or 'nobody'}; a document's score is the highest of its passages.</p>"
    drawn = "".join(_corpus_html(artifact, name, corpus) for name, corpus in corpora.items())
    return Page(f"curation {artifact.config['name']}", tables, by + "".join(map(table_html, tables)) + drawn)


def _overview(corpora: dict[str, dict[str, Any]]) -> Table:
    rows = [
        (name, corpus["documents"], corpus["characters"], corpus["words"], corpus["bad_lines"], attribute,
         corpus["risky"].get(attribute, 0) / corpus["documents"], corpus["spans"])
        for name, corpus in corpora.items() for attribute in corpus["attributes"]
    ]  # fmt: skip
    columns = ("corpus", "documents", "characters", "words", "bad lines", "attribute", "share >= 0.5", "spans")
    return Table("Corpora", columns, tuple(rows))


def _sources(corpora: dict[str, dict[str, Any]]) -> Table:
    rows = [
        (name, source, counts["documents"], counts["characters"], counts["risky"] / counts["documents"])
        for name, corpus in corpora.items() for source, counts in sorted(corpus["sources"].items())
    ]  # fmt: skip
    title = f"Sources (the first {_SOURCES} of {len(rows)})" if len(rows) > _SOURCES else "Sources"
    columns = ("corpus", "source", "documents", "characters", "share with a score >= 0.5")
    return Table(title, columns, tuple(rows[:_SOURCES]))


def _risky_words(corpora: dict[str, dict[str, Any]]) -> Table:
    rows = [(name, ", ".join(f"{_veiled(word)} {count}" for word, count in corpus["risky_words"][:_WORDS]))
            for name, corpus in corpora.items() if corpus["tagger"]]  # fmt: skip
    return Table("Most frequent words that score at least 0.5", ("corpus", "words"), tuple(rows))


def _veiled(word: str) -> str:
    """A word that can be recognised and need not be read: its inner letters as dots."""
    return word if len(word) < 3 else word[0] + "·" * (len(word) - 2) + word[-1]


def _corpus_html(artifact: Artifact, name: str, corpus: dict[str, Any]) -> str:
    histograms = "".join(_histogram(attribute, counts) for attribute, counts in corpus["histogram"].items())
    samples = "".join(_sample(document) for document in _samples(TaggedCorpus.open(artifact.path, name)))
    return f"<h2>{escape(name)}</h2>{histograms}<h3>Samples, the riskiest first</h3>{samples}"


def _histogram(attribute: str, counts: list[int]) -> str:
    """Bars over [0, 1] as inline SVG; heights are square roots, so that rare high scores stay visible."""
    tallest = max(counts) ** 0.5 or 1.0
    bars = []
    for index, count in enumerate(counts):
        height = 100 * count**0.5 / tallest
        label = f"{index / BINS:.2f} to {(index + 1) / BINS:.2f}: {count:,}"
        bars.append(f'<rect x="{index * 20}" y="{100 - height:.1f}" width="18" height="{height:.1f}">'
                    f"<title>{label}</title></rect>")  # fmt: skip
    drawn = "".join(bars)
    box = f'viewBox="0 0 {BINS * 20} 100" width="400" height="100" role="img" fill="currentColor"'
    caption = f"{escape(attribute)}: documents by score, 0 to 1 (square-root scale)"
    return f"<figure><figcaption>{caption}</figcaption><svg {box}>{drawn}</svg></figure>"


def _samples(corpus: TaggedCorpus) -> Iterator[Document]:
    """The riskiest and the least risky of the first documents."""
    found = sorted(
        islice(corpus.documents(), _LOOKED_AT), key=lambda document: -max(document.scores.values(), default=0.0)
    )
    half = _SAMPLES // 2
    return iter(found if len(found) <= _SAMPLES else [*found[:half], *found[-half:]])


def _sample(document: Document) -> str:
    scores = ", ".join(f"{attribute} {score:.3f}" for attribute, score in document.scores.items())
    spans = [(span.start, span.end, span.score) for span in document.spans or ()]
    text = document.text[:_SHOWN] + ("…" if len(document.text) > _SHOWN else "")
    return f"<h4>{escape(document.id)}</h4><p>{escape(scores)}</p>{heatmap(text, spans)}"
