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
from pathlib import Path
from typing import Any, BinaryIO

from curation.corpus.records import Span
from curation.filter.line_records import line_of, read_record, renamed
from curation.scorers import Scorer, loaded_scorer
from curation.scorers.options import AnyScorer
from curation.scoring.documents import text_scores
from curation.scoring.unscored import why_not_text, why_unscored
from curation.taggers import Tagger, make_tagger
from curation.taggers.options import AnyTagger
from curation.text.spans import joined
from infra.config.document import YamlDocument
from infra.config.faults import nearest
from infra.config.spec import Spec, validate
from infra.config.yaml_reader import yaml_value
from infra.errors import ConfigError, DataError, InputError, Problem, ScoringError

THRESHOLD = 0.5
"""From which score spans are given where no tagger was trained, and so no threshold fitted."""
_EVERY = 1e-12  # floor of a tagger that is to give every word
_BATCH = 256  # lines that are scored together, without a scorer that asks for more
_AT_ONCE = 8 << 20  # bytes that are taken from the input before they are scored, at most
_READ = 1 << 20
_TRAINED = "tagger:"


class CommandLineSections(Spec):
    """A scorer and a tagger as they stand on the command line."""

    scorer: AnyScorer | None = None
    tagger: AnyTagger | None = None


Numbered = tuple[int, dict[str, Any]]


@dataclass(frozen=True)
class Filter:
    """Scores lines. `scorer` None: a text's score is that of its riskiest span. `tagger` None: no spans."""

    scorer: Scorer | None
    tagger: Tagger | None
    attribute: str
    passage: int
    threshold: float | None
    """Spans below it are left out and neighbours joined; None: every span as it is."""
    spans: bool
    renamed: set[str] = field(default_factory=set)
    """Under which names what the records had already given was kept."""

    def lines(self, blocks: Iterable[Sequence[bytes]]) -> Iterator[bytes]:
        """Each line with its scores; no line waits for the block after its own. Raises DataError naming the line that
        is no JSON with a text, and ScoringError, when all lines before it are out.
        """
        number = 0
        together = self.scorer.documents_together if self.scorer else _BATCH
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
        tagged = self.tagger.tag(texts) if self.tagger else [[] for _ in texts]
        added: list[dict[str, Any]] = [{"scores": one} for one in self._scores(texts, tagged)]
        for text, one in zip(texts, added, strict=True):
            if why := self._why_unscored(text):
                one.update(scores=dict.fromkeys(one["scores"]), unscored=why)
        if self.spans:
            for text, spans, one in zip(texts, tagged, added, strict=True):
                one["spans"] = self._shown(text, spans) if self._has_spans(text, one) else None
        return added

    def _why_unscored(self, text: str) -> str:
        return why_unscored(text, self.scorer) if self.scorer else why_not_text(text)

    def _has_spans(self, text: str, added: dict[str, Any]) -> bool:
        """Whether anything is known of a text's risky stretches."""
        if "unscored" in added or self.tagger is None:
            return False
        return self.tagger.scorer is self.scorer or not self.tagger.why_unscored(text, {})

    def _scores(self, texts: list[str], tagged: list[list[Span]]) -> list[dict[str, float]]:
        """By attribute, the highest of each text's passages."""
        if self.scorer is None:
            return [{self.attribute: max((span.score for span in spans), default=0.0)} for spans in tagged]
        table = text_scores(texts, self.scorer, self.passage)
        return [dict(zip(self.scorer.attributes, row, strict=True)) for row in table.tolist()]

    def _shown(self, text: str, spans: list[Span]) -> list[list[float]]:
        ours = [span for span in spans if span.attribute == self.attribute]
        chosen = ours if self.threshold is None else joined(text, ours, self.threshold)
        return [[span.start, span.end, span.score] for span in chosen]


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
    """Load what `--scorer` names: a scorer, `tagger:DIR`, or a section such as `{name: detoxify, model: original}`.

    Raises ConfigError, InputError, UnavailableError, ArtifactError.
    """
    spans = spans or all_spans
    if scorer.startswith(_TRAINED):
        return _trained(scorer.removeprefix(_TRAINED), spans, all_spans)

    section = _section(scorer)
    sections = _checked(scorer=section)
    assert sections.scorer is not None
    loaded = loaded_scorer(sections.scorer)
    chosen = attribute or loaded.attributes[0]
    if chosen not in loaded.attributes:
        known = ", ".join(loaded.attributes) + nearest(chosen, loaded.attributes)
        raise InputError(f"--attribute {chosen}: {loaded.identity} has {known}")
    marker = _checked(tagger=_with_scorer(_section(tagger), section, chosen, all_spans)).tagger if spans else None
    threshold = None if all_spans else THRESHOLD
    return Filter(loaded, make_tagger(marker) if marker else None, chosen, passage, threshold, spans)


def _trained(folder: str, spans: bool, all_spans: bool) -> Filter:
    from curation.token_models.trained import read_card

    card = read_card(Path(folder))
    sections = _checked(tagger={"name": card.model.name, "path": folder, "keep_at_or_above": _EVERY})
    assert sections.tagger is not None
    return Filter(None, make_tagger(sections.tagger), card.attribute, 0, None if all_spans else card.threshold, spans)


def _with_scorer(tagger: dict[str, Any], scorer: dict[str, Any], attribute: str, all_spans: bool) -> dict[str, Any]:
    """The tagger's section, on top of the scorer that was asked for."""
    floor = _EVERY if all_spans else THRESHOLD
    of_one = {"attribute": attribute} if tagger.get("name") == "attribution" else {}
    return {"scorer": scorer, "keep_at_or_above": floor, **of_one, **tagger}


def _section(argument: str) -> dict[str, Any]:
    """A name, or a mapping in YAML's flow style."""
    try:
        loaded = yaml_value(argument)
    except ConfigError:
        loaded = None
    if isinstance(loaded, str):
        return {"name": loaded}
    if not isinstance(loaded, dict):
        advice = "write a name, or a section like {name: ..., key: value}"
        raise ConfigError([Problem("command line", argument, advice)])
    return loaded


def _checked(**sections: dict[str, Any]) -> CommandLineSections:
    """The sections against their models; relative paths are relative to the working folder."""
    checked = validate(YamlDocument(Path("command line"), sections, {(): "command line"}), CommandLineSections)
    assert isinstance(checked, CommandLineSections)
    return checked
