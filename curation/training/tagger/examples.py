"""Examples to learn from: spans that people labelled, or that a teacher finds in unlabelled texts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from itertools import chain, islice
from typing import Any

from curation.corpus.records import RawDocument
from curation.scoring.unscored import LeftOut
from curation.sources.bad_lines import Reader
from curation.sources.extract import UnreadableError
from curation.sources.read import read_source
from curation.taggers import make_tagger
from curation.token_models.labels import LabelledText
from curation.training.tagger.spec import AnyExamples, DistilSpec, LabelledSpansSpec
from infra.errors import InputError

_BATCH = 64  # texts that a teacher sees at once


def read_examples(
    spec: AnyExamples, attribute: str, read: Reader = read_source, left_out: LeftOut | None = None
) -> Iterator[LabelledText]:
    """Labelled texts in order; one with a malformed span is a bad line, and what a teacher can tell nothing about goes
    to `left_out`. Raises what reading raises.
    """
    if isinstance(spec, DistilSpec):
        return distilled(spec, attribute, read, left_out or LeftOut())
    return labelled(spec, read)


def labelled(spec: LabelledSpansSpec, read: Reader = read_source) -> Iterator[LabelledText]:
    """Texts with the spans that people gave them."""
    source = spec.model_copy(update={"keep": (*spec.keep, spec.spans)})
    spans = partial(_spans, key=spec.spans)
    for document in read(source, None, spans):
        yield LabelledText(document.text, spans(document), document.id)


def distilled(spec: DistilSpec, attribute: str, read: Reader, left_out: LeftOut) -> Iterator[LabelledText]:
    """Texts with the spans of the teacher; its scores are the labels. A text without spans is one that it has read."""
    teacher = make_tagger(spec.tagger)
    if attribute not in teacher.attributes:
        raise InputError(f'the teacher has no attribute "{attribute}"; it has {", ".join(teacher.attributes)}')
    documents = chain.from_iterable(read(source, None, None) for source in spec.sources)
    scorable = (raw for raw in documents if left_out.takes(teacher.why_unscored(raw.text, raw.metadata)))
    first = islice(scorable, spec.limit)
    while batch := list(islice(first, _BATCH)):
        for document, spans in zip(batch, teacher.tag([document.text for document in batch]), strict=True):
            labels = tuple((span.start, span.end, span.score) for span in spans if span.attribute == attribute)
            yield LabelledText(document.text, labels, document.id)


def _spans(document: RawDocument, key: str) -> tuple[tuple[int, int, float], ...]:
    stored = document.metadata[key]
    if not isinstance(stored, list):
        raise UnreadableError(f'"{key}" is {_short(stored)}; a list of offsets or of [start, end] is needed')
    if all(isinstance(offset, int) and not isinstance(offset, bool) for offset in stored):
        spans = [(start, end, 1.0) for start, end in _runs(sorted(set(stored)))]
    else:
        spans = [_range(span) for span in stored]
    for start, end, label in spans:
        if not (0 <= start < end <= len(document.text) and 0 <= label <= 1):
            raise UnreadableError(f"span {[start, end, label]}: offsets lie between 0 and {len(document.text)}"
                            " (code points), the start before the end, and a label between 0 and 1")  # fmt: skip
    return tuple(spans)


def _range(stored: Any) -> tuple[int, int, float]:
    numbers = isinstance(stored, list) and all(type(number) in (int, float) for number in stored)
    if not numbers or len(stored) not in (2, 3) or not all(type(offset) is int for offset in stored[:2]):
        raise UnreadableError(f"{_short(stored)} is no span; write an offset, [start, end] or [start, end, label]")
    return stored[0], stored[1], float(stored[2]) if len(stored) == 3 else 1.0


def _short(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)[:80]


def _runs(offsets: list[int]) -> list[tuple[int, int]]:
    """Offsets one after the other, as ranges."""
    runs: list[tuple[int, int]] = []
    for offset in offsets:
        if runs and runs[-1][1] == offset:
            runs[-1] = (runs[-1][0], offset + 1)
        else:
            runs.append((offset, offset + 1))
    return runs
