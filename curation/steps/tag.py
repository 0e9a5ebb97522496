"""The step `tag`: every document gets the spans of a tagger."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from curation.any_tagger import AnyTagger
from curation.documents import batches, marks_of
from curation.passages import stretches
from curation.records import Span
from curation.steps.base import Context, Step, StepSpec
from curation.taggers import make_tagger, tagger_inputs
from infra.errors import ScoringError

if TYPE_CHECKING:
    from datatrove.data import Document

    from curation.taggers import Tagger

_STRETCH = 200_000
"""Characters of a document that a tagger sees at once; longer ones are tagged stretch by stretch, cut at line ends."""


class TagSpec(StepSpec):
    """Risky spans; nothing is removed. A corpus through which no such step leads is untagged."""

    step: Literal["tag"] = "tag"
    tagger: AnyTagger
    """Gives the spans."""
    prefix: str = Field("", pattern=r"^[A-Za-z][A-Za-z0-9_]*$|^$")
    """Stands before the names of the tagger's attributes; needed where two taggers have the same ones."""


class Tag(Step):
    """Spans in code points, in order of start."""

    options = TagSpec
    spec: TagSpec

    def apply(self, documents: Iterator[Document], context: Context, rank: int) -> Iterator[Document]:
        """Add the spans to each document. Raises ScoringError naming the document that could not be tagged."""
        tagger = make_tagger(self.spec.tagger)
        for batch in batches(documents):
            for document, spans in zip(batch, _spans(tagger, batch), strict=True):
                marks = marks_of(document)
                named = [replace(span, attribute=self.spec.prefix + span.attribute) for span in spans]
                found = [*(marks.spans or ()), *(named if self.spec.prefix else spans)]
                marks.spans = sorted(found, key=_place) if marks.spans else found
                yield document

    def inputs(self) -> dict[str, str]:
        """Checksums of what the tagger works with."""
        return {f"tagger.{name}": value for name, value in tagger_inputs(self.spec.tagger).items()}

    def check(self) -> None:
        """Load the tagger here, so that missing weights are told before any worker starts."""
        make_tagger(self.spec.tagger)

    def tags(self) -> tuple[str, ...]:
        """The tagger's, with the prefix."""
        return tuple(f"{self.spec.prefix}{name}" for name in make_tagger(self.spec.tagger).attributes)

    def report(self, context: Context) -> dict[str, Any]:
        """What tagged, and how."""
        return {"tagger": self.settings()["tagger"], "attributes": list(self.tags())}

    def describe(self) -> str:
        """`tag: words`."""
        return f"tag: {self.spec.tagger.name}"


def _place(span: Span) -> tuple[int, int, str]:
    return span.start, span.end, span.attribute


def _spans(tagger: Tagger, batch: list[Document]) -> list[list[Span]]:
    """Spans of each document of a batch; whether one is cut depends on itself, never on its neighbours."""
    short = [document for document in batch if len(document.text) <= _STRETCH]
    try:
        found = iter(tagger.tag([document.text for document in short]))
        return [next(found) if len(document.text) <= _STRETCH else _long(tagger, document.text) for document in batch]
    except ScoringError:
        _blame(tagger, batch)
        raise


def _long(tagger: Tagger, text: str) -> list[Span]:
    """Spans of a long document, stretch by stretch."""
    found: list[Span] = []
    for start, end in stretches(text, _STRETCH):
        (spans,) = tagger.tag([text[start:end]])
        found += [replace(span, start=span.start + start, end=span.end + start) for span in spans]
    return found


def _blame(tagger: Tagger, batch: list[Document]) -> None:
    """Raise the tagger's error again with the name of the first document that brings it about alone."""
    for document in batch:
        try:
            _long(tagger, document.text)
        except ScoringError as error:
            raise ScoringError(f"document {document.id}: {error}") from None
