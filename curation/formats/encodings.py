"""Bytes of a text file as UTF-8: by its byte order mark, and not at all where it is no text."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator
from itertools import chain

_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF32_BE, "utf-32-be"),  # before UTF-16, whose mark begins one
    (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"),
)  # fmt: skip
_FIRST = (codecs.BOM_UTF8, *(mark for mark, _ in _MARKS))
_LONGEST_MARK = 4


class NoText(Exception):
    """Bytes that are no text; the message says what they look like."""


def is_plain(head: bytes, look: Callable[[bytes], str]) -> bool:
    """Whether what begins so is UTF-8 as it stands, without a mark."""
    return not head.startswith(_FIRST) and not look(head)


def as_utf8(chunks: Iterator[bytes], look: Callable[[bytes], str]) -> Iterator[bytes]:
    """The same text in UTF-8 and without its mark. A half of a surrogate pair stays one, which is no valid UTF-8.

    Raises NoText where `look` says what the first bytes are instead; the iterator raises UnicodeDecodeError where
    UTF-16 or UTF-32 breaks off or goes wrong.
    """
    head = next(chunks, b"")
    while len(head) < _LONGEST_MARK and (chunk := next(chunks, b"")):
        head += chunk
    if head.startswith(_FIRST):
        for mark, codec in _MARKS:
            if head.startswith(mark):
                return _recoded(chain((head[len(mark) :],), chunks), codec)
        head = head.removeprefix(codecs.BOM_UTF8)
    if reason := look(head):
        raise NoText(reason)
    return chain((head,), chunks)


def _recoded(chunks: Iterator[bytes], codec: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(codec)("surrogatepass")
    for chunk in chunks:
        yield decoder.decode(chunk).encode("utf-8", "surrogatepass")
    yield decoder.decode(b"", final=True).encode("utf-8", "surrogatepass")
