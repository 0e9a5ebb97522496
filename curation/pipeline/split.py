"""From sources to shards of bounded size, so that one big file keeps every worker busy.

Small files are read where they lie, a file a shard; where there are very many, neighbours share one. A big Parquet
file is taken apart by its rows. Whatever else is big, or must be read from its beginning (compressed lines, a data set
of the hub, a corpus with a limit), is read once by one worker, which stores its documents in shards. All this follows
from the sources and the settings alone.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from curation.shards.shards import Shard
from curation.shards.spill import SUFFIX
from curation.sources.parts import SourcePart, beside, parts_of
from curation.sources.spec import ForumSpec, SourceSpec
from curation.spec import CurationSpec

CUT_ABOVE = 4 << 20
"""Stored bytes up to which files are one shard."""
_SHARDS = 64  # that a corpus of small files has at least, if it has as many files: for workers to share

CountRows = Callable[[list[SourcePart]], dict[str, int | None]]
"""Rows of Parquet files by their location; None where one cannot be opened."""


@dataclass(frozen=True)
class ReadingUnit:
    """What one worker would read in one go, and whether it is to be cut into shards first."""

    shard: Shard
    cut: bool


def pieces_of(spec: CurationSpec, count_rows: CountRows) -> list[ReadingUnit]:
    """All pieces in the order of the corpora, sources and files."""
    parts = {name: [part for number, source in enumerate(corpus.sources) for part in parts_of(source, number)]
             for name, corpus in spec.corpora.items()}  # fmt: skip
    rows = count_rows([part for name, corpus in spec.corpora.items() if not corpus.limit
                       for part in parts[name] if _is_cut_by_rows(part)])  # fmt: skip
    found = []
    for name, corpus in spec.corpora.items():
        most = files_of_a_shard(parts[name], spec.shard_documents)
        groups = (
            [(tuple(parts[name]), True)] if corpus.limit else _groups(parts[name], spec.shard_documents, most, rows)
        )
        found += [ReadingUnit(Shard(name, number, f"{name}: {_label(group)}", group, corpus.limit, crowd=most > 1), cut)
                  for number, (group, cut) in enumerate(groups)]  # fmt: skip
    return found


def left_out(spec: CurationSpec) -> list[str]:
    """What the corpora leave out though their patterns match it, a line a source; known when they have been listed."""
    told = ((name, beside(source)) for name, corpus in spec.corpora.items() for source in corpus.sources)
    return [f"corpus {name}: left out: {besides}" for name, besides in told if besides]


def shards_of(pieces: list[ReadingUnit], work: Path) -> list[Shard]:
    """The shards, when the pieces that are to be cut have been."""
    shards: list[Shard] = []
    for _, group in itertools.groupby(pieces, lambda piece: piece.shard.corpus):
        found = [shard for piece in group for shard in _shards_of(piece, work)]
        shards += [replace(shard, number=number) for number, shard in enumerate(found)]
    return shards


def cut_folder(work: Path) -> Path:
    """Where the cutting leaves what it has made."""
    return work / "cut"


def cut_record(work: Path, place: str) -> dict[str, Any]:
    """What is known of a piece that was cut."""
    return json.loads((cut_folder(work) / "records" / f"{place}.json").read_text(encoding="utf-8"))


def _shards_of(piece: ReadingUnit, work: Path) -> Iterator[Shard]:
    if not piece.cut:
        yield piece.shard
        return
    place = piece.shard.place
    for run in range(cut_record(work, place)["runs"]):
        stored = f"cut/stored/{place}/{run:05d}{SUFFIX}"
        label = f"{piece.shard.label}, shard {run + 1}"
        first = place if run == 0 else ""
        yield Shard(piece.shard.corpus, 0, label, stored=stored, piece=first, crowd=piece.shard.crowd)


def files_of_a_shard(parts: Iterable[SourcePart], documents: int) -> int:
    """How many small files of a corpus share a shard, at most: 1 unless there are very many of them."""
    return max(1, min(documents, sum(map(_is_small_file, parts)) // _SHARDS))


def _groups(
    parts: list[SourcePart], documents: int, most: int, rows: dict[str, int | None]
) -> Iterator[tuple[tuple[SourcePart, ...], bool]]:
    """(parts, whether to cut) for each piece of a corpus; `most` small files share one."""
    for small, run in itertools.groupby(parts, _is_small_file):
        if small:
            yield from ((group, False) for group in _together(run, most))
            continue
        for part in run:
            if _is_cut_by_rows(part):
                yield from (((piece,), False) for piece in _by_rows(part, documents, rows[part.location]))
            else:
                yield (part,), not _is_small(part)


def _together(parts: Iterable[SourcePart], most: int) -> Iterator[tuple[SourcePart, ...]]:
    """Neighbours, up to so many and up to what is one shard of bytes; a file whose size nobody knows counts as full."""
    group: list[SourcePart] = []
    size = 0
    for part in parts:
        held = CUT_ABOVE if part.size is None else part.size
        if group and (len(group) == most or size + held > CUT_ABOVE):
            yield tuple(group)
            group, size = [], 0
        group.append(part)
        size += held
    if group:
        yield tuple(group)


def _is_small(part: SourcePart) -> bool:
    """Whether a part is one shard as it is."""
    return isinstance(part.source, ForumSpec) or bool(part.location and (part.size or 0) <= CUT_ABOVE)


def _is_small_file(part: SourcePart) -> bool:
    """Whether a part may share a shard: a file of its own, not one in a wheel, which a fingerprint does not open."""
    return part.archive is None and part.location != "" and (part.size or 0) <= CUT_ABOVE


def _is_cut_by_rows(part: SourcePart) -> bool:
    if not part.location.endswith(".parquet") or _is_small(part):
        return False
    return isinstance(part.source, SourceSpec) and not part.source.unique


def _by_rows(part: SourcePart, documents: int, rows: int | None) -> Iterator[SourcePart]:
    """A Parquet file by its rows; one that has few, or that cannot be opened, which the reader tells, stays whole."""
    if rows is None or rows <= documents:
        yield part
        return
    for first in range(0, max(rows, 1), documents):
        yield part._replace(first=first, count=documents)


def _label(parts: tuple[SourcePart, ...]) -> str:
    part = parts[0]
    rows = f", rows from {part.first + 1}" if part.count and part.location else ""
    more = f" and {len(parts) - 1} more" if len(parts) > 1 else ""
    return f"{part.label}{rows}{more}"
