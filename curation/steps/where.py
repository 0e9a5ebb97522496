"""The step `where`: keeps the documents that an expression over scores, spans and metadata holds for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from pydantic import field_validator

from curation.documents import batches, marks_of, metadata_of
from curation.steps.base import Context, Step, StepSpec
from curation.where import METADATA, SPANS, WORDS, parse
from infra.errors import DataError

if TYPE_CHECKING:
    from datatrove.data import Document


class WhereSpec(StepSpec):
    """Removes the documents for which the expression is not true."""

    step: Literal["where"] = "where"
    keep: str
    """Such as `toxicity >= 0.99 and spans.count >= 2 and metadata.language == "en"`. Names: the scores, `source`, `id`,
    `characters`, `metadata.KEY`, and `spans.count`, `spans.max`, `spans.min` (0 where a tagged document has none). A
    document that lacks what the expression asks for stops the job. Scores are kept in the tagged corpus, so a mixture
    can ask the same later, of the same artifact; use this step where what is removed is not to be stored."""

    @field_validator("keep")
    @classmethod
    def _can_be_read(cls, value: str) -> str:
        parse(value)
        return value


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
            kept = where.evaluate({name: _column(name, batch) for name in where.names}, len(batch))
            for document, keep in zip(batch, kept, strict=True):
                if keep:
                    yield document
                else:
                    context.removed.remove(document, f"not {self.spec.keep}")

    def describe(self) -> str:
        """`where: toxicity < 0.5`."""
        return f"where: {self.spec.keep}"


def _column(name: str, batch: list[Document]) -> Any:
    """The values of one name, a document an item: numbers as floats, words as objects."""
    import numpy as np

    values = [_value(name, document) for document in batch]
    words = any(isinstance(value, str) for value in values)
    return np.array([str(value) for value in values] if words else values, dtype=object if words else np.float64)


def _value(name: str, document: Document) -> Any:
    """One value. Raises DataError where the document does not have it."""
    if name in WORDS:
        words = {"source": marks_of(document).source, "id": document.id, "characters": len(document.text)}
        return words[name]
    if name in SPANS:
        return _of_spans(name, document)
    found: Any = marks_of(document).scores.get(name)
    if name.startswith(METADATA):
        found = metadata_of(document).get(name.removeprefix(METADATA))
    if not isinstance(found, (str, int, float)):
        raise DataError(f"document {document.id}: has no {name}, which `where` asks for")
    return found


def _of_spans(name: str, document: Document) -> float:
    spans = marks_of(document).spans
    if spans is None:
        raise DataError(f"document {document.id}: is not tagged, and `where` asks for {name}; put a tag step before it")
    scores = [span.score for span in spans] or [0.0]
    return {"spans.count": len(spans), "spans.max": max(scores), "spans.min": min(scores)}[name]
