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

from curation.corpus.records import BadLine, RawDocument
from curation.formats.json_line import beyond_64_bits
from curation.sources.spec import SourceSpec
from infra.errors import DataError

OnBad = Callable[[BadLine], None]
OnSkip = Callable[[RawDocument, str], None]
Check = Callable[[RawDocument], object]
_RAW = 200  # characters of a bad line that are kept
_MISSING = object()
_STAR = "*"
_DEEPEST = 100  # of nested values that are kept
_MANY = 100  # records; where none of so many has a text or an id, the key is not the one that was meant
# `*+` does not go back: a `<br` and a megabyte of spaces would be looked through from each of them
_LINE_END, _TAG = re.compile(r"<br\s*+/?>|</p>", re.IGNORECASE), re.compile(r"<[^>]*>")
_LONG_REFERENCE = 20
_LONG_NUMBER = re.compile(r"&#0*+([0-9]*+)")


class UnreadableError(Exception):
    """A record that is no document; the message is the reason."""


class AbsentError(UnreadableError):
    """A key that a record does not have."""


class RoundedError(Exception):
    """A number that was longer than the reader of the file can tell; it must be read again."""


@dataclass(slots=True)
class Extractor:
    """Makes documents out of the records of one file. `label` is the file's name without the machine's folders;
    `on_skip` is told of what is left out though nothing is wrong with it; `keep_damaged` says that a file which breaks
    off is one bad line, not an error; `check` raises UnreadableError for a document that its reader cannot use.
    """

    source: SourceSpec
    number: int
    label: str
    on_skip: OnSkip | None = None
    keep_damaged: bool = False
    check: Check | None = None
    _seen: set[bytes] = field(default_factory=set)
    _records: int = 0
    _absent: dict[str, int] = field(default_factory=dict)
    _first_absent: dict[str, str] = field(default_factory=dict)

    def document(self, record: Any, line: int, exact: bool = True) -> RawDocument | None:
        """The document in `record`, or None where its text is empty or, under `unique`, known. `exact` says that its
        numbers have all their digits. Raises UnreadableError; RoundedError for a number that `exact` could change.
        """
        if not isinstance(record, dict):
            raise UnreadableError(f"a {type(record).__name__} where an object is needed")
        name, metadata = self._id(record, line, exact), self._metadata(record, exact)
        self._records += 1
        value = self._needed(record, self.source.text, line)
        text = self._cut(self._text(None if value is _MISSING else value))
        document = RawDocument(name, text, self.label, metadata)
        reason = "" if text.strip() else "empty text" if value is not _MISSING else f'no key "{self.source.text}"'
        if self.check is not None and not reason:
            self.check(document)
        reason = reason or ("" if self._is_new(text) else "text seen before in the file")
        if not reason:
            return document
        if self.on_skip is not None:
            self.on_skip(document, reason)
        return None

    def end(self) -> None:
        """All records have been seen. Raises DataError where they are many, and no one has a text, or no one an id."""
        for key, count in self._absent.items():
            if count == self._records >= _MANY:
                raise DataError(f"{self._first_absent[key]}; so it is with all {count:,} records of the file")

    @property
    def first_without_text(self) -> str:
        """What is missing where, at the first record of a file of which none has a text; '' of any other file."""
        key = self.source.text
        return self._first_absent[key] if 0 < self._records == self._absent.get(key) else ""

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

    def _needed(self, record: dict[str, Any], key: str, line: int) -> Any:
        """The value of a key that records should have; those that do not are counted."""
        try:
            return _get(record, key)
        except AbsentError as error:
            if self.source.strict:
                raise
            self._absent[key] = self._absent.get(key, 0) + 1
            self._first_absent.setdefault(key, f"{self.label}:{line}: {error}")
            return _MISSING

    def _text(self, value: Any) -> str:
        if _STAR in self.source.text.split(".") and isinstance(value, list):
            value = "\n".join(item for item in value if isinstance(item, str))
        if value is not None and not isinstance(value, str):
            raise UnreadableError(f'the text key "{self.source.text}" holds a {type(value).__name__}')
        return text_of_html(value or "") if self.source.html else value or ""

    def _id(self, record: dict[str, Any], line: int, exact: bool) -> str:
        """The record's own id, or file and line where it has none."""
        key = self.source.id
        value = self._needed(record, key, line) if key else None
        value = None if value is _MISSING else plain(value, str(key), exact=exact)
        if isinstance(value, (bool, list, dict)):
            raise UnreadableError(f'the id key "{key}" holds a {type(value).__name__}; allowed: a string or a number')
        return f"{self.number}/{self.label}:{line}" if value is None else str(value)

    def _metadata(self, record: dict[str, Any], exact: bool) -> dict[str, Any]:
        return {key: plain(self._optional(record, key), key, exact=exact) for key in self.source.keep}

    def _optional(self, record: dict[str, Any], key: str) -> Any:
        try:
            return _get(record, key)
        except AbsentError:
            if self.source.strict:
                raise
            return None

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


def plain(value: Any, key: str, depth: int = 0, exact: bool = True) -> Any:
    """A value as JSON can hold it; dates and decimals become text, NaN and infinity become null. Raises
    UnreadableError; RoundedError where a number may have lost digits and is not `exact`, and can be read anew.
    """
    if depth > _DEEPEST:
        raise UnreadableError(f'the key "{key}" holds values nested more than {_DEEPEST} deep')
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        if not exact and beyond_64_bits(value):
            raise RoundedError
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(name): plain(inner, key, depth + 1, exact) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner, key, depth + 1, exact) for inner in value]
    if isinstance(value, (date, time, Decimal)):
        return str(value)
    raise UnreadableError(f'the key "{key}" holds a {type(value).__name__}, which cannot be kept')


def _get(record: dict[str, Any], dotted: str) -> Any:
    """The value at a dotted key; a key that contains dots itself is found too. Raises AbsentError, or
    UnreadableError where the way there leads through something else."""
    value: Any = record.get(dotted, _MISSING)
    if value is not _MISSING:
        return value
    return _deep(record, dotted.split("."), dotted)


def _deep(value: Any, segments: list[str], dotted: str) -> Any:
    """The value that `segments` lead to; from a star on, a list of those that are there."""
    for index, segment in enumerate(segments):
        if isinstance(value, list) and segment == _STAR:
            return list(_starred(value, segments[index + 1 :], dotted))
        if isinstance(value, list) and segment.isdecimal() and int(segment) < len(value):
            value = value[int(segment)]
        elif isinstance(value, dict) and segment in value:
            value = value[segment]
        else:
            available = ", ".join(sorted(value)[:8]) if isinstance(value, dict) else f"a {type(value).__name__}"
            raise _why_absent(value, segment)(f'no key "{dotted}" (there is: {available})')
    return value


def _why_absent(value: Any, segment: str) -> type[UnreadableError]:
    """A record may lack the key, or be null; a word has none, and a star wants a list."""
    may_lack = value is None or isinstance(value, list) or (isinstance(value, dict) and segment != _STAR)
    return AbsentError if may_lack else UnreadableError


def _starred(items: list[Any], segments: list[str], dotted: str) -> Iterator[Any]:
    for item in items:
        with contextlib.suppress(AbsentError):
            yield _deep(item, segments, dotted)


def text_of_html(text: str) -> str:
    """HTML as a person reads it: `a<br>&gt;b` becomes two lines, `a` and `>b`."""
    lines = _LINE_END.sub("\n", text)
    last = lines.rfind(">") + 1  # from here on no `<` begins a tag, and looking for its end would square the cost
    return html.unescape(_LONG_NUMBER.sub(_short_number, _TAG.sub("", lines[:last]) + lines[last:]))


def _short_number(reference: re.Match[str]) -> str:
    """`&#000…65` with digits that Python reads; beyond Unicode it is no character, however long."""
    digits = reference[1]
    return reference[0] if len(reference[0]) < _LONG_REFERENCE else f"&#{digits if len(digits) < 8 else 99999999}"
