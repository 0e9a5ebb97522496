"""The step `tag`: every document gets the spans of a tagger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from curation.corpus.documents import Marks, batches, marks_of
from curation.corpus.records import Span
from curation.steps.base import Context, Step
from curation.steps.base_unscored import tell_unscored, unscored_in
from curation.steps.options import TagSpec
from curation.taggers import Tagger, make_tagger, tagger_inputs
from curation.text.passages import stretches
from infra.errors import ScoringError

if TYPE_CHECKING:
    from datatrove.data import Document


_STRETCH = 200_000
"""Characters of a document that a tagger sees at once; longer ones are tagged stretch by stretch, cut at line ends."""


class Tag(Step):
    """Spans in code points, in order of start."""

    options = TagSpec
    spec: TagSpec
    version = 2

    def apply(self, documents: Iterator[Document], context: Context, rank: int) -> Iterator[Document]:
        """Add the spans to each document that can have some. Raises ScoringError naming the document that failed."""
        tagger, reasons = make_tagger(self.spec.tagger), Counter[str]()
        tagged = context.shards[rank].corpus in context.tagged
        for batch in batches(documents):
            why = [tagger.why_unscored(document.text, document.metadata) for document in batch]
            reasons.update(filter(None, why))
            spans = iter(_spans(tagger, [document for document, reason in zip(batch, why, strict=True) if not reason]))
            for document, reason in zip(batch, why, strict=True):
                if reason and self.spec.unscored == "remove":
                    context.removed.remove(document, f"unscored: {reason}")
                    continue
                self._mark(marks_of(document), None if reason else next(spans), tagged)
                yield document
        tell_unscored(context, rank, reasons)

    def _mark(self, marks: Marks, spans: list[Span] | None, tagged: bool) -> None:
        """Add spans to those of earlier taggers. What one of them did not see stays untagged."""
        if spans is None or (tagged and marks.spans is None):
            marks.spans = None
            return
        named = [replace(span, attribute=self.spec.prefix + span.attribute) for span in spans]
        merged = [*(marks.spans or ()), *(named if self.spec.prefix else spans)]
        marks.spans = sorted(merged, key=_in_order) if marks.spans else merged

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
        about = {"languages": list(make_tagger(self.spec.tagger).languages), "unscored": unscored_in(context)}
        return {"tagger": self.spec.tagger.identity(), "attributes": list(self.tags()), **about}

    def describe(self) -> str:
        """`tag: words`."""
        return f"tag: {self.spec.tagger.name}"


def _in_order(span: Span) -> tuple[int, int, str]:
    return span.start, span.end, span.attribute


def _spans(tagger: Tagger, batch: list[Document]) -> list[list[Span]]:
    """Spans of each document of a batch; whether one is cut depends on itself, never on its neighbours."""
    texts = [document.text for document in batch]
    try:
        short = iter(tagger.tag([text for text in texts if len(text) <= _STRETCH]))
        return [next(short) if len(text) <= _STRETCH else _long(tagger, text) for text in texts]
    except ScoringError:
        _blame(tagger, batch)
        raise


def _long(tagger: Tagger, text: str) -> list[Span]:
    """Spans of a long document, stretch by stretch."""
    spans: list[Span] = []
    for start, end in stretches(text, _STRETCH):
        (of_stretch,) = tagger.tag([text[start:end]])
        spans += [replace(span, start=span.start + start, end=span.end + start) for span in of_stretch]
    return spans


def _blame(tagger: Tagger, batch: list[Document]) -> None:
    """Raise the tagger's error again with the name of the first document that brings it about alone."""
    for document in batch:
        try:
            _long(tagger, document.text)
        except ScoringError as error:
            raise ScoringError(f"document {document.id}: {error}") from None
