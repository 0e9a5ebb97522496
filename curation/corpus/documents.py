"""Documents as datatrove's steps hand them on.

`metadata` is flat, as datatrove's own steps read and write it (url, language, …); what hormesis knows about a document
stands in it under one key.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from curation.corpus.records import RawDocument, Span

if TYPE_CHECKING:
    from datatrove.data import Document

MARKS = "_hormesis"
BATCH = 256
"""Documents that a step works on together, at most."""
BATCH_CHARACTERS = 2_000_000
"""Characters that a step works on together, unless a single document is longer."""


@dataclass
class Marks:
    """What hormesis knows: where the document comes from, its scores, its spans (None: not tagged); and, of a document
    that was removed, by which step and why.
    """

    source: str
    scores: dict[str, float] = field(default_factory=dict)
    spans: list[Span] | None = None
    removed: tuple[str, str] | None = None


def as_datatrove(raw: RawDocument) -> Document:
    """A document as it enters the pipeline."""
    from datatrove.data import Document

    return Document(
        text=raw.text, id=raw.id, metadata={**raw.metadata, MARKS: Marks(raw.source, dict(raw.scores), raw.spans)}
    )


def marks_of(document: Document) -> Marks:
    """What hormesis knows about a document."""
    return document.metadata[MARKS]


def metadata_of(document: Document) -> dict[str, Any]:
    """The document's own metadata, and what datatrove's steps added."""
    return {key: value for key, value in document.metadata.items() if key != MARKS}


def batches(documents: Iterable[Document], max_documents: int = BATCH) -> Iterator[list[Document]]:
    """Documents in batches that are bounded by number and by characters, so that memory is."""
    batch: list[Document] = []
    size = 0
    for document in documents:
        if batch and (len(batch) == max_documents or size + len(document.text) > BATCH_CHARACTERS):
            yield batch
            batch, size = [], 0
        batch.append(document)
        size += len(document.text)
    if batch:
        yield batch
