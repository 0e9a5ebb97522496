"""Lines of a possibly compressed file, as bytes, so that one bad byte costs one line and a cut file is noticed."""

from __future__ import annotations

import contextlib
import gzip
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import IO

from curation.formats.appearance import HEAD, another, foreign
from curation.formats.encodings import NoText, as_utf8, is_plain
from infra.errors import DataError

_FIRST, _CHUNK = 1 << 13, 1 << 18  # bytes asked for at first and at most: Python allocates what is asked for
_MAGIC = {".gz": b"\x1f\x8b", ".zst": b"\x28\xb5\x2f\xfd"}
_WINDOW = 1 << 31  # bytes that a zstd frame may look back; Pushshift's were made with --long=31
LONGEST = 1 << 28
"""Bytes of a line above which it is not held in memory but told and skipped; 5 million words are a tenth of it."""


class DamagedFile(DataError):
    """A file that ends too early or cannot be unpacked from some line on."""

    def __init__(self, name: str, line: int, reason: str) -> None:
        self.line, self.reason = line, reason
        super().__init__(f"{name}:{line}: {reason}")


class ForeignFile(DataError):
    """A file that is not what its name says."""

    def __init__(self, name: str, looks: str) -> None:
        super().__init__(f"{name}:1: this is not what its name says; it looks like {looks}")


def numbered_lines(
    stream: IO[bytes], name: str, on_long: Callable[[int], None] | None = None, look: Callable[[bytes], str] = foreign
) -> Iterator[tuple[int, bytes]]:
    """Yield (number from 1, line in UTF-8 without its end) of `stream`; `name` tells the compression and is what errors
    name. UTF-16 and UTF-32 are known by their byte order mark.

    A line longer than LONGEST is skipped, and its number told. Raises ForeignFile where `look` says that it is no
    text, DamagedFile where a file is cut short or damaged; all lines before that have been yielded.
    """
    if isinstance(stream, BytesIO) and not name.endswith((".gz", ".zst")):  # a small file, in memory already
        content = stream.getvalue()
        if not content or is_plain(content, look):
            yield from enumerate(content.removesuffix(b"\n").split(b"\n") if content else (), start=1)
            return
    number = 0
    try:
        for line in _lines(as_utf8(_chunks(stream, name), look)):
            number += 1
            if line is not None:
                yield number, line
            elif on_long is not None:
                on_long(number)
    except EOFError:
        raise DamagedFile(name, number + 1, "the compressed file ends too early (truncated)") from None
    except (zlib.error, gzip.BadGzipFile, _ZstdDamage) as error:
        if not number and (looks := other_than(stream, _MAGIC[name[name.rindex(".") :]])):
            raise ForeignFile(name, looks) from None
        raise DamagedFile(name, number + 1, f"damaged compressed file: {error}") from None
    except UnicodeDecodeError as error:
        raise DamagedFile(name, number + 1, f"damaged {error.encoding}: {error.reason}") from None
    except NoText as error:
        raise ForeignFile(name, str(error)) from None


def beginning(stream: IO[bytes], name: str) -> bytes:
    """The first bytes of a file that is possibly compressed; none where they cannot be had."""
    with contextlib.suppress(EOFError, zlib.error, OSError, _ZstdDamage):
        return next(_chunks(stream, name), b"")[:HEAD]
    return b""


def other_than(stream: IO[bytes], magic: bytes) -> str:
    """What a file looks like that should begin with `magic`; '' where it does, or nobody knows."""
    with contextlib.suppress(OSError, ValueError):  # a stream that a library has closed
        stream.seek(0)
        head = stream.read(HEAD)
        return "" if head.startswith(magic) else another(head)
    return ""


class _ZstdDamage(Exception):
    """zstandard's error under our own name, so that the library is imported only when it is needed."""


def _lines(chunks: Iterator[bytes]) -> Iterator[bytes | None]:
    """Lines; None for one that is too long. The pieces of a long line are joined once, when it ends."""
    pieces: list[bytes] = []
    held = 0
    for chunk in chunks:
        first, *more = chunk.split(b"\n")
        held += len(first)
        pieces = [*pieces, first] if held <= LONGEST else []
        for line in more:
            yield b"".join(pieces) if held <= LONGEST else None
            pieces, held = [line], len(line)
    if held:
        yield b"".join(pieces) if held <= LONGEST else None


def _chunks(stream: IO[bytes], name: str) -> Iterator[bytes]:
    if name.endswith(".gz"):
        with gzip.open(stream, "rb") as unpacked:
            yield from _reads(unpacked.read1)  # read1: what is whole comes out before the cut is met
    elif name.endswith(".zst"):
        yield from _unpacked_zstd(_reads(stream.read))
    else:
        yield from _reads(stream.read)


def _reads(read: Callable[[int], bytes]) -> Iterator[bytes]:
    """All that `read` gives, in growing chunks: of a hundred thousand small files none pays for a large buffer."""
    size = _FIRST
    while chunk := read(size):
        yield chunk
        size = _CHUNK if len(chunk) == size else size


def _unpacked_zstd(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Frames one after the other; zstandard's own stream reader takes a cut frame for the end of the file."""
    import zstandard

    decoder = None
    for chunk in chunks:
        while chunk:
            decoder = decoder or zstandard.ZstdDecompressor(max_window_size=_WINDOW).decompressobj()
            try:
                unpacked = decoder.decompress(chunk)
            except zstandard.ZstdError as error:
                raise _ZstdDamage(str(error)) from None
            if unpacked:
                yield unpacked
            chunk = decoder.unused_data if decoder.eof else b""
            decoder = None if decoder.eof else decoder
    if decoder is not None:
        raise EOFError
