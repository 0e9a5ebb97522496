"""Lines of a possibly compressed file, as bytes, so that one bad byte costs one line and a cut file is noticed."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from typing import IO

from infra.errors import DataError

_CHUNK = 1 << 18


def numbered_lines(stream: IO[bytes], name: str) -> Iterator[tuple[int, bytes]]:
    """Yield (number from 1, line without its end) of `stream`; `name` tells the compression and is what errors name.

    Raises DataError("name:line: …") where a compressed file is cut short or damaged.
    """
    number = 0
    try:
        for line in _lines(_chunks(stream, name)):
            number += 1
            yield number, line
    except EOFError:
        raise DataError(f"{name}:{number + 1}: the compressed file ends too early (truncated)") from None
    except (zlib.error, gzip.BadGzipFile, _ZstdDamage) as error:
        raise DataError(f"{name}:{number + 1}: damaged compressed file: {error}") from None


class _ZstdDamage(Exception):
    """zstandard's error under our own name, so that the library is imported only when it is needed."""


def _lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n") if b"\n" in chunk else (rest + chunk,)
        yield from whole
    if rest:
        yield rest


def _chunks(stream: IO[bytes], name: str) -> Iterator[bytes]:
    if name.endswith(".gz"):
        with gzip.open(stream, "rb") as unpacked:
            yield from iter(lambda: unpacked.read1(_CHUNK), b"")  # read1: what is whole comes out before the cut is met
    elif name.endswith(".zst"):
        yield from _unpacked_zstd(iter(lambda: stream.read(_CHUNK), b""))
    else:
        yield from iter(lambda: stream.read(_CHUNK), b"")


def _unpacked_zstd(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Frames one after the other; zstandard's own stream reader takes a cut frame for the end of the file."""
    import zstandard

    decoder = None
    for chunk in chunks:
        while chunk:
            decoder = decoder or zstandard.ZstdDecompressor().decompressobj()
            try:
                yield decoder.decompress(chunk)
            except zstandard.ZstdError as error:
                raise _ZstdDamage(str(error)) from None
            chunk = decoder.unused_data if decoder.eof else b""
            decoder = None if decoder.eof else decoder
    if decoder is not None:
        raise EOFError
