"""Streams: pairs of token files that are to be written, cut into pieces that workers can write on their own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mixtures.building.gather import Located
from mixtures.corpora.select import CorpusDocuments, Ints, Selection
from mixtures.formats import long_arrays
from mixtures.selection.prefixes import Prefixes
from mixtures.selection.resolve import Replaced

CHUNK = 1 << 25
"""Tokens that are in memory at a time, and of a piece at least."""

_PIECES = 1024  # of a stream at most


@dataclass(frozen=True)
class Stream:
    """One pair of token files to be written under `folder`: which documents, in order, with prefixes before them or
    without, some tokens replaced or none. `ends` [documents] are the tokens up to and with each, prefixes counted.
    """

    name: str
    folder: Path
    located: Located
    documents: CorpusDocuments
    selection: Selection
    ends: Ints
    shards: Ints
    dtype: str
    prefixes: Prefixes | None = None
    replaced: Replaced | None = None

    def __len__(self) -> int:
        return len(self.ends)

    @property
    def tokens(self) -> int:
        """Tokens in all, prefixes counted."""
        return int(self.ends[-1]) if len(self) else 0

    @property
    def prefix(self) -> Path:
        """Prefix of the finished files."""
        return self.folder / self.name

    @property
    def width(self) -> int:
        """Bytes of a token."""
        return np.dtype(self.dtype).itemsize

    def before(self, first: int) -> int:
        """Tokens before document `first`."""
        return int(self.ends[first - 1]) if first else 0

    @property
    def all_sizes(self) -> Ints:
        """Tokens of each document, prefixes counted; kept in a file where they are many."""
        sizes = long_arrays.new(len(self), np.int64)
        for chunk in long_arrays.chunks(len(self)):
            sizes[chunk] = self.sizes(chunk)
        return sizes

    def sizes(self, documents: slice) -> Ints:
        """Tokens of a range of documents, prefixes counted."""
        return np.diff(self.ends[documents], prepend=self.before(documents.start))


@dataclass(frozen=True)
class StreamRange:
    """The documents first <= d < last of a stream, the piece `number` of `count`."""

    stream: Stream
    number: int
    count: int
    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.stream.name}: documents {self.first:,} to {self.last:,}"


def stream_of(
    name: str, folder: Path, located: Located, documents: CorpusDocuments, selection: Selection,
    prefixes: Prefixes | None = None, replaced: Replaced | None = None,
) -> Stream:  # fmt: skip
    """What is written as `name`; `documents` are some of the located corpus, `selection` some of them in order."""
    ends, used, before = long_arrays.new(len(selection.tokens), np.int64), np.zeros(len(located.first), np.bool_), 0
    for chunk in long_arrays.chunks(len(ends)):
        sizes = selection.tokens[chunk]
        if prefixes is not None:
            sizes = sizes + prefixes.sizes(chunk)
        ends[chunk] = before + np.cumsum(sizes)
        before = int(ends[chunk.stop - 1])
        used[documents.shard[selection.position[chunk]]] = True
    shards = np.flatnonzero(used)
    dtype = located.dtype(int(shards[0])) if len(shards) else ""
    return Stream(name, folder, located, documents, selection, ends, shards, dtype, prefixes, replaced)


def pieces_of(stream: Stream) -> list[StreamRange]:
    """A stream cut between documents, by its tokens alone: neither workers nor earlier runs change the pieces."""
    if not len(stream):
        return []
    tokens = max(CHUNK, -(-stream.tokens // _PIECES))
    cuts = np.searchsorted(stream.ends, np.arange(tokens, stream.tokens, tokens), side="right")
    bounds = np.unique(np.concatenate([[0], cuts, [len(stream)]])).tolist()
    count = len(bounds) - 1
    return [StreamRange(stream, number, count, bounds[number], bounds[number + 1]) for number in range(count)]
