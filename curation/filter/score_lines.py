"""`hormesis score`: JSON Lines with a `text` in, the same lines with `scores` (and `spans`) out.

Lines are scored together, as many as have come: a scorer takes a thousand texts in hardly more time than one. But none
waits for company: when the input pauses, all that came is answered.
"""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from curation.corpus.records import Span
from curation.filter.line_records import line_of, read_record, renamed
from curation.filter.text_scoring import ScoredText, TextScoring, prepare_scoring
from infra.errors import DataError, ScoringError

_AT_ONCE = 8 << 20  # bytes that are taken from the input before they are scored, at most
_READ = 1 << 20

Numbered = tuple[int, dict[str, Any]]


@dataclass(frozen=True)
class Filter:
    """Scores lines."""

    scoring: TextScoring
    spans: bool
    renamed: set[str] = field(default_factory=set)
    """Under which names what the records had already given was kept."""

    def lines(self, blocks: Iterable[Sequence[bytes]]) -> Iterator[bytes]:
        """Each line with its scores; no line waits for the block after its own. Raises DataError naming the line that
        is no JSON with a text, and ScoringError, when all lines before it are out.
        """
        number = 0
        together = self.scoring.together
        for block in blocks:
            for start in range(0, len(block), together):
                batch = block[start : start + together]
                yield from self._answered(batch, number + start)
            number += len(block)

    def _answered(self, batch: Sequence[bytes], before: int) -> Iterator[bytes]:
        """The lines of a batch, before which so many have been."""
        records: list[Numbered] = []
        wrong = None
        for number, line in enumerate(batch, before + 1):
            try:
                if (record := read_record(number, line)) is not None:
                    records.append((number, record))
            except DataError as error:
                wrong = error
                break
        yield from self._told(records)
        if wrong is not None:
            raise wrong

    def _told(self, records: list[Numbered]) -> Iterator[bytes]:
        """Records as lines; where one of many cannot be scored, those before it."""
        if not records:
            return
        try:
            more = self._scored([record["text"] for _, record in records])
        except ScoringError:
            if len(records) == 1:
                raise
            for numbered in records:
                yield from self._told([numbered])
            raise
        for (number, record), scored in zip(records, more, strict=True):
            names = renamed(record, scored)
            self.renamed.update(names.values())
            yield line_of(number, record, names, scored)

    def _scored(self, texts: list[str]) -> list[dict[str, Any]]:
        """What is added to each line."""
        scored = self.scoring.score(texts, self.spans)
        return [self._added(text, one) for text, one in zip(texts, scored, strict=True)]

    def _added(self, text: str, scored: ScoredText) -> dict[str, Any]:
        added: dict[str, Any] = {"scores": scored.scores}
        if scored.unscored:
            added.update(scores=dict.fromkeys(scored.scores), unscored=scored.unscored)
        if self.spans:
            added["spans"] = None if scored.tagged is None else self._shown(text, scored.tagged)
        return added

    def _shown(self, text: str, tagged: list[Span]) -> list[list[float]]:
        shown = self.scoring.shown(text, tagged, self.scoring.attribute)
        return [[span.start, span.end, span.score] for span in shown]


def answer(chosen: Filter, source: int, target: BinaryIO) -> None:
    """Score the lines of a file descriptor into a stream, which has all answers whenever the source is waited for."""

    def blocks() -> Iterator[list[bytes]]:
        for block in arriving(source):
            yield block
            target.flush()

    try:
        target.writelines(chosen.lines(blocks()))
    finally:
        target.flush()
        if chosen.renamed:
            print(
                f"note: what records brought with them is kept as {', '.join(sorted(chosen.renamed))}", file=sys.stderr
            )


def arriving(descriptor: int) -> Iterator[list[bytes]]:
    """Lines of a pipe or file, as many together as are there: when the writer pauses, what it has written comes out."""
    rest: list[bytes] = []
    while data := _there(descriptor):
        lines, end, begun = data.rpartition(b"\n")
        if end:
            yield b"".join([*rest, lines]).split(b"\n")
            rest = []
        rest.append(begun)
    if last := b"".join(rest):
        yield [last]


def _there(descriptor: int) -> bytes:
    """Wait for some bytes; return all that can be had without waiting for more. Nothing: the end."""
    chunks = [os.read(descriptor, _READ)]
    size = len(chunks[0])
    while chunks[-1] and size < _AT_ONCE and select.select([descriptor], [], [], 0)[0]:
        chunks.append(os.read(descriptor, _READ))
        size += len(chunks[-1])
    return b"".join(chunks)


def prepare(scorer: str, spans: bool, all_spans: bool, tagger: str, attribute: str | None, passage: int) -> Filter:
    """Load what `--scorer` names, for lines. Raises ConfigError, InputError, UnavailableError, ArtifactError."""
    spans = spans or all_spans
    return Filter(prepare_scoring(scorer, spans, all_spans, tagger, attribute, passage), spans)
