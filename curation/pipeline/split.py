"""From sources to shards of bounded size, so that one big file keeps every worker busy.

Small files are read where they lie, a file a shard; where there are very many, neighbours share one. A big Parquet
file is taken apart by its rows. Whatever else is big, or must be read from its beginning (compressed lines, a data set
of the hub, a corpus with a limit), is read once by one worker, which stores its documents in shards. All this follows
from the sources and the settings alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from curation.shards.shard import Shard
from curation.shards.shards import PassRecord
from curation.shards.spill import SUFFIX
from curation.sources.input_files import InputFile, beside, input_files_of
from curation.sources.spec import ForumSpec, SourceSpec
from curation.spec import CurationSpec

CUT_ABOVE = 4 << 20
"""Stored bytes up to which files are one shard."""
_SHARDS = 64  # that a corpus of small files has at least, if it has as many files: for workers to share

CountRows = Callable[[list[InputFile]], dict[str, int | None]]
"""Rows of Parquet files by their location; None where one cannot be opened."""


@dataclass(frozen=True)
class ReadingUnit:
    """What one worker would read in one go, and whether it is to be cut into shards first."""

    shard: Shard
    cut: bool


def pieces_of(spec: CurationSpec, count_rows: CountRows) -> list[ReadingUnit]:
    """All pieces in the order of the corpora, sources and files."""
    files_by_corpus = {}
    cut_by_rows: list[InputFile] = []
    for name, corpus in spec.corpora.items():
        files_by_corpus[name] = [*chain.from_iterable(map(input_files_of, corpus.sources, itertools.count()))]
        if not corpus.limit:
            cut_by_rows += filter(_is_cut_by_rows, files_by_corpus[name])
    rows = count_rows(cut_by_rows)  # of all corpora at once: footers are read side by side
    pieces = []
    for name, corpus in spec.corpora.items():
        input_files, documents = files_by_corpus[name], spec.shard_documents
        together = files_of_a_shard(input_files, documents)
        groups = [(tuple(input_files), True)] if corpus.limit else _groups(input_files, documents, together, rows)
        for number, (group, cut) in enumerate(groups):
            label = f"{name}: {_label(group)}"
            pieces.append(ReadingUnit(Shard(name, number, label, group, corpus.limit, crowd=together > 1), cut))
    return pieces


def left_out(spec: CurationSpec) -> list[str]:
    """What the corpora leave out though their patterns match it, a line a source; known when they have been listed."""
    told = ((name, beside(source)) for name, corpus in spec.corpora.items() for source in corpus.sources)
    return [f"corpus {name}: left out: {besides}" for name, besides in told if besides]


def shards_of(pieces: list[ReadingUnit], work: Path) -> list[Shard]:
    """The shards, when the pieces that are to be cut have been."""
    shards: list[Shard] = []
    for _, group in itertools.groupby(pieces, lambda piece: piece.shard.corpus):
        shards_of_corpus = [shard for piece in group for shard in _shards_of(piece, work)]
        shards += [replace(shard, number=number) for number, shard in enumerate(shards_of_corpus)]
    return shards


def cut_folder(work: Path) -> Path:
    """Where the cutting leaves what it has made."""
    return work / "cut"


def cut_record(work: Path, stem: str) -> PassRecord:
    """What is known of a piece that was cut. Raises ArtifactError."""
    return PassRecord.from_json(cut_folder(work), stem)


def _shards_of(piece: ReadingUnit, work: Path) -> Iterator[Shard]:
    if not piece.cut:
        yield piece.shard
        return
    stem = piece.shard.stem
    for run in range(cut_record(work, stem).runs or 0):
        stored = f"cut/stored/{stem}/{run:05d}{SUFFIX}"
        label = f"{piece.shard.label}, shard {run + 1}"
        first = stem if run == 0 else ""
        yield Shard(piece.shard.corpus, 0, label, stored=stored, piece=first, crowd=piece.shard.crowd)


def files_of_a_shard(input_files: Iterable[InputFile], documents: int) -> int:
    """How many small files of a corpus share a shard, at most: 1 unless there are very many of them."""
    return max(1, min(documents, sum(map(_is_small_file, input_files)) // _SHARDS))


def _groups(
    input_files: list[InputFile], documents: int, files_together: int, rows: dict[str, int | None]
) -> Iterator[tuple[tuple[InputFile, ...], bool]]:
    """(input files, whether to cut) for each piece of a corpus; `files_together` small files share one."""
    for small, run in itertools.groupby(input_files, _is_small_file):
        if small:
            yield from ((group, False) for group in _together(run, files_together))
            continue
        for input_file in run:
            if _is_cut_by_rows(input_file):
                yield from (((piece,), False) for piece in _by_rows(input_file, documents, rows[input_file.location]))
            else:
                yield (input_file,), not _is_small(input_file)


def _together(input_files: Iterable[InputFile], files_together: int) -> Iterator[tuple[InputFile, ...]]:
    """Neighbours, up to so many and up to what is one shard of bytes; a file whose size nobody knows counts as full."""
    group: list[InputFile] = []
    size = 0
    for input_file in input_files:
        held = CUT_ABOVE if input_file.size is None else input_file.size
        if group and (len(group) == files_together or size + held > CUT_ABOVE):
            yield tuple(group)
            group, size = [], 0
        group.append(input_file)
        size += held
    if group:
        yield tuple(group)


def _is_small(input_file: InputFile) -> bool:
    """Whether an input file is one shard as it is."""
    return isinstance(input_file.source, ForumSpec) or bool(input_file.location and (input_file.size or 0) <= CUT_ABOVE)


def _is_small_file(input_file: InputFile) -> bool:
    """Whether an input file may share a shard: one by itself, not one in a wheel, which a fingerprint does not open."""
    return input_file.archive is None and input_file.location != "" and (input_file.size or 0) <= CUT_ABOVE


def _is_cut_by_rows(input_file: InputFile) -> bool:
    if not input_file.location.endswith(".parquet") or _is_small(input_file):
        return False
    return isinstance(input_file.source, SourceSpec) and not input_file.source.unique


def _by_rows(input_file: InputFile, documents: int, rows: int | None) -> Iterator[InputFile]:
    """A Parquet file by its rows; one that has few, or that cannot be opened, which the reader tells, stays whole."""
    if rows is None or rows <= documents:
        yield input_file
        return
    for first in range(0, max(rows, 1), documents):
        yield input_file._replace(first=first, count=documents)


def _label(input_files: tuple[InputFile, ...]) -> str:
    first = input_files[0]
    rows = f", rows from {first.first + 1}" if first.count and first.location else ""
    more = f" and {len(input_files) - 1} more" if len(input_files) > 1 else ""
    return f"{first.label}{rows}{more}"
