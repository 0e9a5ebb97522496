"""Copying documents from the shards of a corpus into one array, shard after shard, whatever order they are asked for.

A shard is opened once for all documents that are copied from it, so at most two files are open at a time, however many
shards a corpus has. Where a document begins follows from the sizes of those before it: no index is read to find it.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infra.errors import ArtifactError
from mixtures.corpora.select import Ints
from mixtures.formats import long_arrays
from mixtures.formats.indexed import RISK_SUFFIX, open_pair
from mixtures.formats.risk import Bytes
from mixtures.selection.resolve import TokenisedCorpus
from mixtures.tokenizing.shard_files import shard_record

_SHORT = 96  # tokens: below that, indexing token by token is faster than a system call a document
_FEW = 16  # documents: below that, mapping a file takes longer than reading them
_BLOCK = 1 << 14  # tokens whose positions are listed at a time: what fits a cache


@dataclass(frozen=True)
class Located:
    """Where the documents of a tokenised corpus lie.

    `names` are those of the shards' files, `first` [shards + 1] is the position of each shard's first document,
    `begins` [documents + 1] the tokens of the corpus before each document.
    """

    source: TokenisedCorpus
    names: tuple[str, ...]
    first: Ints
    begins: Ints

    def prefix(self, shard: int) -> str:
        """Token file prefix of a shard; text, as making paths would take longer than opening the files."""
        return f"{self.source.tokens}/{self.names[shard]}"

    def positions(self, shard: NDArray[np.int32], row: NDArray[np.int32]) -> Ints:
        """Positions in the corpus of documents named by shard and row."""
        return self.first[shard] + row

    def check(self, shard: int) -> None:
        """Raise ArtifactError when a shard's files do not belong together or to the table of its documents."""
        prefix = self.source.prefix(shard)
        tokens, _ = open_pair(prefix, shard_record(prefix).tokens_sha256)
        begins = self.begins[self.first[shard] : self.first[shard + 1] + 1]
        if not np.array_equal(begins - begins[0], tokens.starts):
            raise ArtifactError(f"{prefix}: its documents are not those of its table; build the mixture again")

    def dtype(self, shard: int) -> str:
        """Type of the tokens of a shard."""
        prefix = self.source.prefix(shard)
        return str(open_pair(prefix, shard_record(prefix).tokens_sha256)[0].tokens.dtype)


def locate(source: TokenisedCorpus) -> Located:
    """Find out where all documents of a corpus lie, from their sizes."""
    documents, shards = source.documents, len(source.corpus.shards)
    begins = long_arrays.new(len(documents) + 1, np.int64)
    before = 0
    for chunk in long_arrays.chunks(len(documents)):
        begins[chunk.start + 1 : chunk.stop + 1] = before + np.cumsum(documents.tokens[chunk])
        before = int(begins[chunk.stop])
    first = np.searchsorted(documents.shard, np.arange(shards + 1)).astype(np.int64)
    return Located(source, tuple(shard.stem for shard in source.corpus.shards), first, begins)


@dataclass(frozen=True)
class Copies:
    """[documents] to be copied, sorted by shard and row: where they begin in their shard, tokens, where they go."""

    begin: Ints
    size: Ints
    target: Ints

    def __len__(self) -> int:
        return len(self.size)

    def at(self, rows: slice) -> Copies:
        """Those of a range."""
        return Copies(self.begin[rows], self.size[rows], self.target[rows])


def gather(located: Located, position: Ints, size: Ints, target: Ints, tokens: NDArray[Any], risks: Bytes) -> None:
    """Copy the first `size` tokens of the documents at `position`, and their risk bytes, to `target` of the arrays.

    Raises ArtifactError where a shard ends too early.
    """
    if not len(position):
        return
    order = np.argsort(position)
    position = position[order]
    shard = np.searchsorted(located.first, position, side="right") - 1
    begin = located.begins[position] - located.begins[located.first[shard]]
    copies = Copies(begin, size[order], target[order])
    starts = np.concatenate([[0], np.flatnonzero(np.diff(shard)) + 1])
    counts = np.diff(starts, append=len(copies))
    few = (counts < _FEW) | (np.add.reduceat(copies.size, starts) >= _SHORT * counts)
    columns = (shard[starts].tolist(), starts.tolist(), counts.tolist(), few.tolist())
    readers = [_Reader(copies, output) for output in (tokens, risks)] if few.any() else []
    for number, first, count, one_by_one in zip(*columns, strict=True):
        rows, prefix = slice(first, first + count), located.prefix(number)
        paths = (f"{prefix}.bin", f"{prefix}{RISK_SUFFIX}.bin")
        if one_by_one:
            for reader, path in zip(readers, paths, strict=True):
                with _opened(path) as file:
                    reader.read(file, rows)
        else:
            _index(paths, copies.at(rows), (tokens, risks))


class _Reader:
    """Reads documents one by one to where they belong.

    Their bytes are lists and not arrays of a shard's: of ten thousand shards there are few documents of each.
    """

    def __init__(self, copies: Copies, output: NDArray[Any]) -> None:
        width, self.view = output.itemsize, memoryview(output.data).cast("B")
        self.begins, self.firsts = (copies.begin * width).tolist(), (copies.target * width).tolist()
        self.lasts = ((copies.target + copies.size) * width).tolist()

    def read(self, file: int, rows: slice) -> None:
        """Read a range of the documents, all from one file. Raises EOFError."""
        for begin, first, last in zip(self.begins[rows], self.firsts[rows], self.lasts[rows], strict=True):
            while first < last:
                if not (count := os.preadv(file, [self.view[first:last]], begin)):
                    raise EOFError
                first, begin = first + count, begin + count


def _index(paths: tuple[str, ...], copies: Copies, outputs: tuple[NDArray[Any], ...]) -> None:
    """Copy many short documents of a shard by the position of each of their tokens."""
    end = int((copies.begin + copies.size).max())
    shards = [_mapped(path, end, output.dtype) for path, output in zip(paths, outputs, strict=True)]
    for block in _blocks(copies):
        ends = np.cumsum(block.size)
        before, tokens = ends - block.size, np.arange(int(ends[-1]))
        sources, targets = (np.repeat(first - before, block.size) + tokens for first in (block.begin, block.target))
        for shard, output in zip(shards, outputs, strict=True):
            output[targets] = shard[sources]


def _mapped(path: str, count: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """A file as an array of at least `count` items."""
    with _opened(path) as file:
        size = os.fstat(file).st_size
        if size < count * dtype.itemsize:
            raise EOFError
        return np.frombuffer(mmap.mmap(file, size, access=mmap.ACCESS_READ), dtype)


@contextmanager
def _opened(path: str) -> Iterator[int]:
    """A file of a shard; reading beyond its end is told as its fault."""
    try:
        file = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        raise ArtifactError(f"{path}: missing; run the stage again") from None
    try:
        yield file
    except EOFError:
        raise ArtifactError(f"{path}: shorter than its table of documents says; run the stage again") from None
    finally:
        os.close(file)


def _blocks(copies: Copies) -> Iterator[Copies]:
    """At most _BLOCK tokens at a time, or a document."""
    ends, first = np.cumsum(copies.size), 0
    while first < len(copies):
        before = int(ends[first - 1]) if first else 0
        last = max(first + 1, int(np.searchsorted(ends, before + _BLOCK, side="right")))
        yield copies.at(slice(first, last))
        first = last
