"""The step `where`: keeps the documents that an expression over scores, spans and metadata holds for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from curation.corpus.documents import batches, marks_of, metadata_of
from curation.corpus.where import METADATA, SPANS, WORDS, parse
from curation.corpus.where_values import column_of, metadata_value
from curation.steps.base import Context, Step
from curation.steps.options import WhereSpec
from infra.errors import DataError

if TYPE_CHECKING:
    from datatrove.data import Document


class WhereStep(Step):
    """Evaluates the expression batch by batch."""

    options = WhereSpec
    spec: WhereSpec

    def check_scores(self, attributes: tuple[str, ...], corpus: str) -> None:
        """Every score that is asked for has been given by a step before."""
        parse(self.spec.keep).check_names(attributes, corpus, SPANS)

    def apply(self, documents: Iterator[Document], context: Context, rank: int) -> Iterator[Document]:
        """Yield the documents for which it is true."""
        where = parse(self.spec.keep)
        for batch in batches(documents):
            columns = {name: column_of([_value(name, document) for document in batch]) for name in where.names}
            mask = where.evaluate(columns, len(batch), [f"document {document.id}" for document in batch].__getitem__)
            for document, keep in zip(batch, mask, strict=True):
                if keep:
                    yield document
                else:
                    context.removed.remove(document, f"not {self.spec.keep}")

    def describe(self) -> str:
        """`where: toxicity < 0.5`."""
        return f"where: {self.spec.keep}"


def _value(name: str, document: Document) -> Any:
    """One value. Raises DataError where the document does not have it."""
    if name in WORDS:
        words = {"source": marks_of(document).source, "id": document.id, "characters": len(document.text)}
        return words[name]
    if name in SPANS:
        return _of_spans(name, document)
    if name.startswith(METADATA):
        return _of_metadata(name.removeprefix(METADATA), document)
    score = marks_of(document).scores.get(name)
    if score is None:
        raise DataError(f"document {document.id}: has no {name}, which `where` asks for")
    return score


def _of_metadata(key: str, document: Document) -> Any:
    try:
        return metadata_value(metadata_of(document), key)
    except KeyError:
        have = ", ".join(sorted(metadata_of(document))) or "nothing; name it under keep: of its source"
        raise DataError(
            f"document {document.id}: has no metadata.{key}, which `where` asks for; there is: {have}"
        ) from None
    except ValueError as error:
        raise DataError(f"document {document.id}: metadata.{key}, which `where` asks for, {error}") from None


def _of_spans(name: str, document: Document) -> float:
    spans = marks_of(document).spans
    if spans is None:
        raise DataError(
            f"document {document.id}: is not tagged, or its tagger left it unscored, and `where` asks for {name}; put "
            "a tag step before it"
        )
    scores = [span.score for span in spans] or [0.0]
    return {"spans.count": len(spans), "spans.max": max(scores), "spans.min": min(scores)}[name]
