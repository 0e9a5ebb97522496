"""From a record as it stands in a file to a document: which key is the text, what is cut off, what is kept."""

from __future__ import annotations

import contextlib
import hashlib
import html
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, time
from decimal import Decimal
from typing import Any

from curation.records import BadLine, RawDocument
from curation.source_spec import SourceSpec
from infra.errors import DataError

OnBad = Callable[[BadLine], None]
OnSkip = Callable[[RawDocument, str], None]
_RAW = 200  # characters of a bad line that are kept
_MISSING = object()
_STAR = "*"
_DEEPEST = 100  # of nested values that are kept
_LINE_END, _TAG = re.compile(r"<br\s*+/?>|</p>", re.IGNORECASE), re.compile(r"<[^>]*>")
_LONG_REFERENCE = 20
_LONG_NUMBER = re.compile(r"&#0*+([0-9]*+)")


class UnreadableError(Exception):
    """A record that is no document; the message is the reason."""


@dataclass
class Extractor:
    """Makes documents out of the records of one file. `label` is the file's name without the machine's folders;
    `on_skip` is told of what is left out though nothing is wrong with it; `keep_damaged` says that a file which breaks
    off is one bad line, not an error.
    """

    source: SourceSpec
    number: int
    label: str
    on_skip: OnSkip | None = None
    keep_damaged: bool = False
    _seen: set[bytes] = field(default_factory=set)

    def document(self, record: Any, line: int) -> RawDocument | None:
        """The document in `record`, or None where its text is empty or, under `unique`, known. Raises
        UnreadableError.
        """
        if not isinstance(record, dict):
            raise UnreadableError(f"a {type(record).__name__} where an object is needed")
        text = self._cut(self._text(record))
        name = str(_get(record, self.source.id)) if self.source.id else f"{self.number}/{self.label}:{line}"
        document = RawDocument(name, text, self.label, self._kept(record))
        reason = "" if text.strip() else "empty text"
        reason = reason or ("" if self._is_new(text) else "text seen before in the file")
        if not reason:
            return document
        if self.on_skip is not None:
            self.on_skip(document, reason)
        return None

    def bad(self, line: int, reason: str, raw: bytes) -> BadLine:
        """The record of a line that could not be read."""
        return BadLine(self.label, line, reason, raw[:_RAW].decode("utf-8", errors="backslashreplace"))

    def damaged(self, line: int, reason: str, lines: int | None = None) -> BadLine:
        """The record of a place from which on a file cannot be read, or only `lines` of it. Raises DataError unless
        such files are kept.
        """
        if not self.keep_damaged:
            raise DataError(f"{self.label}:{line}: {reason}")
        lost = "" if lines else "; what follows is lost"
        return BadLine(self.label, line, reason + lost, "", lines or 1, damage=True)

    def _text(self, record: dict[str, Any]) -> str:
        value = _get(record, self.source.text)
        if _STAR in self.source.text.split(".") and isinstance(value, list):
            value = "\n".join(each for each in value if isinstance(each, str))
        if value is not None and not isinstance(value, str):
            raise UnreadableError(f'the text key "{self.source.text}" holds a {type(value).__name__}')
        return text_of_html(value or "") if self.source.html else value or ""

    def _kept(self, record: dict[str, Any]) -> dict[str, Any]:
        return {key: plain(_get(record, key), key) for key in self.source.keep}

    def _cut(self, text: str) -> str:
        if self.source.after is not None and self.source.after in text:
            text = text.split(self.source.after, 1)[1]
        return text.split(self.source.before, 1)[0] if self.source.before else text

    def _is_new(self, text: str) -> bool:
        if not self.source.unique:
            return True
        key = hashlib.blake2b(text.encode(), digest_size=16).digest()
        known = key in self._seen
        self._seen.add(key)
        return not known


def plain(value: Any, key: str, depth: int = 0) -> Any:
    """A value as JSON can hold it; dates and decimals become text, NaN becomes null. Raises UnreadableError."""
    if depth > _DEEPEST:
        raise UnreadableError(f'the key "{key}" holds values nested more than {_DEEPEST} deep')
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(name): plain(each, key, depth + 1) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each, key, depth + 1) for each in value]
    if isinstance(value, (date, time, Decimal)):
        return str(value)
    raise UnreadableError(f'the key "{key}" holds a {type(value).__name__}, which cannot be kept')


def _get(record: dict[str, Any], dotted: str) -> Any:
    """The value at a dotted key; a key that contains dots itself is found too. Raises UnreadableError."""
    value: Any = record.get(dotted, _MISSING)
    if value is not _MISSING:
        return value
    return _deep(record, dotted.split("."), dotted)


def _deep(value: Any, parts: list[str], dotted: str) -> Any:
    """The value that `parts` lead to; from a star on, a list of those that are there."""
    for index, part in enumerate(parts):
        if isinstance(value, list) and part == _STAR:
            return list(_each(value, parts[index + 1 :], dotted))
        if isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        elif isinstance(value, dict) and part in value:
            value = value[part]
        else:
            here = ", ".join(sorted(value)[:8]) if isinstance(value, dict) else f"a {type(value).__name__}"
            raise UnreadableError(f'no key "{dotted}" (there is: {here})')
    return value


def _each(items: list[Any], parts: list[str], dotted: str) -> Iterator[Any]:
    for item in items:
        with contextlib.suppress(UnreadableError):
            yield _deep(item, parts, dotted)


def text_of_html(text: str) -> str:
    """HTML as a person reads it: `a<br>&gt;b` becomes two lines, `a` and `>b`."""
    lines = _LINE_END.sub("\n", text)
    last = lines.rfind(">") + 1  # from here on no `<` begins a tag, and looking for its end would square the cost
    return html.unescape(_LONG_NUMBER.sub(_short_number, _TAG.sub("", lines[:last]) + lines[last:]))


def _short_number(reference: re.Match[str]) -> str:
    """`&#000…65` with digits that Python reads; beyond Unicode it is no character, however long."""
    digits = reference[1]
    return reference[0] if len(reference[0]) < _LONG_REFERENCE else f"&#{digits if len(digits) < 8 else 99999999}"
