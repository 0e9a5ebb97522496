"""Spans at a threshold: what a tagger's scored words come to when somebody decides."""

from __future__ import annotations

from dataclasses import replace

from curation.corpus.records import Span
from curation.text.words import WORD


def joined(text: str, spans: list[Span], threshold: float) -> list[Span]:
    """The spans at or above `threshold`; those of one attribute with no word between them become one.

    People mark "damn fool", not "damn" and "fool": joining takes the space in. The joint span has the highest score.
    `spans` are in order of start.
    """
    by_attribute: dict[str, list[Span]] = {}
    for span in spans:
        if span.score < threshold:
            continue
        ours = by_attribute.setdefault(span.attribute, [])
        if ours and WORD.search(text, ours[-1].end, span.start) is None:
            last = ours[-1]
            ours[-1] = replace(last, end=max(last.end, span.end), score=max(last.score, span.score))
        else:
            ours.append(span)
    return sorted((span for ours in by_attribute.values() for span in ours), key=lambda span: (span.start, span.end))
