"""Token files written in pieces: the ranks of a job write each its own range of bytes of the same files.

The files stand in a hidden folder, as long as they will be, until all pieces are written and hashed; then they are
renamed. A piece is on the disk before its rank is marked as done, so a killed build goes on with the others.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infra.artifacts.fingerprint import digest_file
from infra.atomic import sync_folder, write_text
from mixtures.building.gather import gather
from mixtures.building.streams import CHUNK, Stream, StreamRange
from mixtures.corpora.select import Ints
from mixtures.formats import long_arrays, risk
from mixtures.formats.indexed import bin_path, risk_prefix
from mixtures.selection.prefixes import NONE, Prefixes
from mixtures.selection.resolve import Replaced
from mixtures.tokenizing.token_table import RISKY

UNFINISHED = ".writing"  # in the work folder: files that are not whole
_DOCUMENTS = 1 << 19  # in memory at a time, where they are short


def reserve(stream: Stream, pieces: int) -> bool:
    """Make the files of a stream, as long as they will be; whether an earlier run had not, or for other pieces."""
    if not pieces or is_hashed(stream):
        return False
    _files(stream)[0].parent.mkdir(parents=True, exist_ok=True)
    lengths = (stream.tokens * stream.width, stream.tokens, 8 * len(stream), 8 * 256 * pieces)
    missing = [(path, length) for path, length in zip(_files(stream), lengths, strict=True)
               if not path.exists() or path.stat().st_size != length]  # fmt: skip
    for path, length in missing:
        with open(path, "wb") as file:
            file.truncate(length)
    return bool(missing)


def write_piece(piece: StreamRange) -> Iterator[int]:
    """Write a piece to its range of the files; yields documents as they are done. Raises ArtifactError.

    Of the shards it reads, each is looked at whole by one of the pieces, so that none is opened for that more often.
    """
    stream = piece.stream
    if is_hashed(stream):
        return
    for shard in stream.shards[piece.number :: piece.count].tolist():
        stream.located.check(shard)
    before, histogram = stream.before(piece.first), np.zeros(256, np.int64)
    offsets = (before * stream.width, before, 8 * piece.first, 8 * 256 * piece.number)
    with ExitStack() as opened:
        files = [opened.enter_context(open(path, "r+b")) for path in _files(stream)]
        for file, offset in zip(files, offsets, strict=True):
            file.seek(offset)
        for documents in _chunks(stream, piece.first, piece.last):
            ids, risks = _gathered(stream, documents)
            histogram += _histogram(risks)
            values: tuple[NDArray[Any], ...] = (ids, risks, _risky(risks, stream.sizes(documents)))
            for file, array in zip(files, values, strict=False):
                file.write(array.data)
            yield documents.stop - documents.start
        files[-1].write(histogram.data)
        for file in files:  # on the disk before the rank is marked as done: a done piece is not written again
            file.flush()
            os.fsync(file.fileno())


def hash_file(path: Path) -> Iterator[int]:
    """Write the hash of a file whose pieces are all written beside it."""
    if not _hash_path(path).exists():
        write_text(_hash_path(path), digest_file(path))
    yield 1


def files_to_hash(streams: list[Stream]) -> list[Path]:
    """Token and risk files, the longest first, so that workers end together."""
    sizes: dict[Path, int] = {}
    for stream in streams:
        if len(stream):
            tokens, risks, *_ = _files(stream)
            sizes |= {tokens: stream.tokens * stream.width, risks: stream.tokens}
    return sorted(sizes, key=lambda path: -sizes[path])


def is_hashed(stream: Stream) -> bool:
    """Whether all pieces of a stream were written, its files hashed and perhaps renamed."""
    return len(stream) > 0 and all(_hash_path(path).exists() for path in _files(stream)[:2])


def hashes(stream: Stream) -> tuple[str, str]:
    """SHA-256 of the token file and of the risk file."""
    tokens, risks = (_hash_path(path).read_text(encoding="utf-8") for path in _files(stream)[:2])
    return tokens, risks


def risky_tokens(stream: Stream) -> Ints:
    """Risky tokens of each document, mapped from their file."""
    return np.memmap(_files(stream)[2], np.int64, "r") if len(stream) else np.zeros(0, np.int64)


def risk_histogram(stream: Stream) -> Ints:
    """[256] how many tokens have each risk byte."""
    empty = np.zeros(256, np.int64)
    return np.fromfile(_files(stream)[3], np.int64).reshape(-1, 256).sum(axis=0) if len(stream) else empty


def rename(stream: Stream) -> None:
    """Give the token and the risk file their names, unless an earlier run has."""
    targets = (bin_path(stream.prefix), bin_path(risk_prefix(stream.prefix)))
    for path, target in zip(_files(stream), targets, strict=False):
        if path.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, target)
            sync_folder(target.parent)


def forget(streams: list[Stream], folder: Path) -> None:
    """Remove what the pieces left; first of all the hashes, without which a stream counts as not written."""
    for stream in streams:
        for path in _files(stream)[:2]:
            _hash_path(path).unlink(missing_ok=True)
    shutil.rmtree(folder / UNFINISHED, ignore_errors=True)


def _files(stream: Stream) -> tuple[Path, Path, Path, Path]:
    """Unfinished files: tokens, risk bytes, risky tokens a document, a histogram of risk bytes a piece."""
    prefix = stream.folder / UNFINISHED / stream.name
    return (bin_path(prefix), bin_path(risk_prefix(prefix)), prefix.with_name(prefix.name + ".risky"),
            prefix.with_name(prefix.name + ".histograms"))  # fmt: skip


def _hash_path(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def _chunks(stream: Stream, first: int, last: int) -> Iterator[slice]:
    """Ranges of at most _DOCUMENTS documents that hold at most CHUNK tokens together, or one document."""
    while first < last:
        ends = stream.ends[first : min(last, first + _DOCUMENTS)]
        count = int(np.searchsorted(ends, stream.before(first) + CHUNK, side="right"))
        yield slice(first, first + max(1, count))
        first += max(1, count)


def _gathered(stream: Stream, documents: slice) -> tuple[NDArray[Any], risk.Bytes]:
    """Tokens and risk bytes of a range of documents, one after another, each after its prefix."""
    before, selected = stream.before(documents.start), stream.selection.position[documents]
    count = int(stream.ends[documents.stop - 1]) - before
    tokens, risks = np.empty(count, stream.dtype), np.empty(count, np.uint8)
    size = np.asarray(stream.selection.tokens[documents])
    target = stream.ends[documents] - before - size
    position = stream.located.positions(stream.documents.shard[selected], stream.documents.row[selected])
    gather(stream.located, position, size, target, tokens, risks)
    if stream.prefixes is not None:
        _put_prefixes(stream.prefixes, np.asarray(stream.prefixes.number[documents]), target, tokens, risks)
    _replace(tokens, risks, stream.replaced)
    return tokens, risks


def _put_prefixes(prefixes: Prefixes, number: Ints, target: Ints, tokens: NDArray[Any], risks: risk.Bytes) -> None:
    """Put the tokens of each document's prefix before `target`, where the document begins."""
    order = np.argsort(number, kind="stable")
    numbers, starts = np.unique(number[order], return_index=True)
    for prefix, documents in zip(numbers.tolist(), np.split(target[order], starts[1:]), strict=True):
        if prefix != NONE:
            text = prefixes.tokens[prefix]
            positions = documents[:, None] + np.arange(-len(text), 0)
            tokens[positions], risks[positions] = text, risk.STRUCTURAL


def _replace(tokens: NDArray[Any], risks: risk.Bytes, how: Replaced | None) -> None:
    """Replace the risky tokens, where that is asked for; what stands for them is no target."""
    if how is None:
        return
    risky = risks >= how.level  # those that are structural already stay themselves
    tokens[risky & (risks != risk.STRUCTURAL)] = how.token
    risks[risky] = risk.STRUCTURAL


def _histogram(risks: risk.Bytes) -> Ints:
    """[256] occurrences of each byte; counted in pairs, since counting makes eight bytes of each number."""
    pairs, counts = risks[: len(risks) // 2 * 2].view(np.uint16), np.zeros(1 << 16, np.int64)
    for chunk in long_arrays.chunks(len(pairs)):
        counts += np.bincount(pairs[chunk], minlength=1 << 16)
    square = counts.reshape(256, 256)
    return square.sum(axis=0) + square.sum(axis=1) + np.bincount(risks[2 * len(pairs) :], minlength=256)


def _risky(risks: risk.Bytes, sizes: Ints) -> Ints:
    """Risky tokens of each document; none is empty, as it ends with an EOS."""
    ends, total = np.cumsum(sizes), 0
    running = np.empty(len(ends), np.int64)
    for chunk in long_arrays.chunks(len(risks)):
        risky = np.flatnonzero(risk.at_or_above(risks[chunk], RISKY))
        first, last = np.searchsorted(ends, [chunk.start, chunk.stop], side="right")
        running[first:last] = total + np.searchsorted(risky, ends[first:last] - chunk.start)
        total += len(risky)
    return np.diff(running, prepend=0)
