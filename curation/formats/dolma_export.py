"""A tagged corpus as Dolma documents and attributes: what Dolma's own mixer and this project's sources read.

Each shard becomes one document file and one attribute file of the same name. Nothing is thresholded or rounded.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq

from curation.corpus.records import Document
from curation.corpus.tagged import TaggedCorpus, read_manifest
from curation.formats.json_line import json_bytes
from infra.artifacts.artifact import Artifact

FOLDER = "hormesis"
"""Folder of the attribute files, and the experiment in the keys, which Dolma names EXPERIMENT__TAGGER__TYPE."""


def document_key(attribute: str) -> str:
    """Key of a document's score: one span over the whole document."""
    return f"{FOLDER}__document__{attribute}"


def spans_key(attribute: str) -> str:
    """Key of the risky spans."""
    return f"{FOLDER}__spans__{attribute}"


def export_dolma(artifact: Artifact, target: Path) -> None:
    """Write `CORPUS/documents/*.json.gz` and `CORPUS/attributes/hormesis/*.json.gz` into `target`."""
    for name in read_manifest(artifact.path)["corpora"]:
        corpus = TaggedCorpus.open(artifact.path, name)
        spanned = _spanned(corpus) if corpus.tagged else []
        for shard in corpus.shards:
            _write_shard(corpus, shard, spanned, target / name)


def _write_shard(corpus: TaggedCorpus, shard: str, spanned: list[str], folder: Path) -> None:
    file = Path(shard).with_suffix(".json.gz").name
    with (
        _gzipped(folder / "documents" / file) as documents,
        _gzipped(folder / "attributes" / FOLDER / file) as attributes,
    ):
        for document in corpus.documents_of(shard):
            record = {"id": document.id, "text": document.text, "source": document.source}
            documents.write(json_bytes({**record, "metadata": document.metadata}))
            attributes.write(json_bytes({"id": document.id, "attributes": attributes_of(document, spanned)}))


def attributes_of(document: Document, spanned: list[str]) -> dict[str, list[list[float]]]:
    """Scores and spans under Dolma's keys; an attribute of `spanned` without a span has the empty list."""
    end = len(document.text)
    attributes: dict[str, list[list[float]]] = {
        document_key(attribute): [[0, end, score]] for attribute, score in document.scores.items()
    }
    if document.spans is not None:
        attributes |= {spans_key(attribute): [] for attribute in spanned}
        for span in document.spans:
            attributes[spans_key(span.attribute)].append([span.start, span.end, span.score])
    return attributes


def _spanned(corpus: TaggedCorpus) -> list[str]:
    """Attributes that the corpus has spans of: those of its scores, and what else its taggers found."""
    names = set(corpus.attributes)
    for shard in corpus.shards:
        with pq.ParquetFile(corpus.path / shard) as file:
            for batch in file.iter_batches(columns=["spans"]):
                names.update(batch.column(0).flatten().field("attribute").unique().to_pylist())
    return sorted(names)


@contextmanager
def _gzipped(path: Path) -> Iterator[gzip.GzipFile]:
    """A gzip file without a time in its header: the same corpus gives the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as raw, gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) as packed:
        yield packed
