"""From sources to shards of bounded size, so that one big file keeps every worker busy.

Small files are read where they lie, a file a shard. A big Parquet file is taken apart by its rows. Whatever else is
big, or must be read from its beginning (compressed lines, a data set of the hub, a corpus with a limit), is read once
by one worker, which stores its documents in shards. All this follows from the sources and the settings alone.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curation.parts import Part, parts_of, rows_of, size_of
from curation.shards import Shard
from curation.source_spec import ForumSpec
from curation.stored import SUFFIX

if TYPE_CHECKING:
    from curation.spec import CorpusSpec, CurationSpec

CUT_ABOVE = 4 << 20
"""Stored bytes of a file up to which it is one shard."""


@dataclass(frozen=True)
class Piece:
    """What one worker would read in one go, and whether it is to be cut into shards first."""

    shard: Shard
    cut: bool


def pieces_of(spec: CurationSpec) -> list[Piece]:
    """All pieces in the order of the corpora, sources and files."""
    found = []
    for name, corpus in spec.corpora.items():
        groups = list(_groups(corpus, spec.shard_documents))
        found += [Piece(Shard(name, number, f"{name}: {_label(parts)}", parts, corpus.limit), cut)
                  for number, (parts, cut) in enumerate(groups)]  # fmt: skip
    return found


def shards_of(pieces: list[Piece], work: Path) -> list[Shard]:
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


def _shards_of(piece: Piece, work: Path) -> Iterator[Shard]:
    if not piece.cut:
        yield piece.shard
        return
    place = piece.shard.place
    for run in range(cut_record(work, place)["runs"]):
        stored = f"cut/stored/{place}/{run:05d}{SUFFIX}"
        label = f"{piece.shard.label}, shard {run + 1}"
        yield Shard(piece.shard.corpus, 0, label, stored=stored, piece=place if run == 0 else "")


def _groups(corpus: CorpusSpec, documents: int) -> Iterator[tuple[tuple[Part, ...], bool]]:
    """(parts, whether to cut) for each piece of a corpus."""
    parts = [part for number, source in enumerate(corpus.sources) for part in parts_of(source, number)]
    if corpus.limit:
        yield tuple(parts), True
        return
    for part in parts:
        if isinstance(part.source, ForumSpec) or (part.location and size_of(part) <= CUT_ABOVE):
            yield (part,), False
        elif part.location.endswith(".parquet") and not part.source.unique:
            yield from (((piece,), False) for piece in _by_rows(part, documents))
        else:
            yield (part,), True


def _by_rows(part: Part, documents: int) -> Iterator[Part]:
    """A Parquet file by its rows; one that cannot be opened is left whole, for the reader to tell."""
    rows = rows_of(part)
    if rows is None:
        yield part
        return
    for first in range(0, max(rows, 1), documents):
        yield replace(part, first=first, count=documents)


def _label(parts: tuple[Part, ...]) -> str:
    part = parts[0]
    rows = f", rows from {part.first + 1}" if part.count and part.location else ""
    more = f" and {len(parts) - 1} more" if len(parts) > 1 else ""
    return f"{part.label}{rows}{more}"
