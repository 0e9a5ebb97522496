"""Readers of the formats: a bad line is told and skipped, a damaged file is an error, nothing is lost in silence.

datatrove's own JsonlReader drops what follows an invalid byte and counts a broken line nowhere; its ParquetReader takes
all columns and gives a file up at its first damage; and its way to a file costs more than a small file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import IO, Any

import orjson

from curation.corpus.records import RawDocument
from curation.formats.appearance import foreign, foreign_or_page, full_of_nuls
from curation.formats.json_line import JSONDecodeError, exact_json, json_value
from curation.formats.lines import LONGEST, DamagedFile, ForeignFile, numbered_lines, other_than
from curation.sources.dolma_attributes import AttributeLines
from curation.sources.extract import Extractor, OnBad, RoundedError, UnreadableError
from infra.errors import InputError

_BOM = b"\xef\xbb\xbf"  # also within a file that was put together from several
_SPREAD = "JSON over several lines: write its objects a line each (`jq -c '.[]' FILE`, or `jq -c . FILE`)"
_BATCH_BYTES = 16_000_000  # of a Parquet row group that are turned into Python objects at once


class JsonlReader:
    """JSON Lines, each line decoded on its own, with what Dolma attribute files say of it."""

    def __init__(self, extract: Extractor, on_bad: OnBad, attributes: AttributeLines | None = None) -> None:
        self._extract, self._on_bad, self._attributes = extract, on_bad, attributes
        self._opened = self._closed = 0

    def read(self, stream: IO[bytes]) -> Iterator[RawDocument]:
        """Documents of one file, in order. Raises DataError for JSON over several lines, when it ends."""
        first = last = 0
        for number, line in _told_lines(stream, self._extract, self._on_bad):
            if line.strip():
                first, last = first or number, number
                if document := self._document(number, line):
                    yield document
        if self._opened == first > 0 and self._closed == last > first:
            raise ForeignFile(self._extract.label, _SPREAD)

    def _document(self, number: int, line: bytes) -> RawDocument | None:
        line = line.removeprefix(_BOM)
        try:
            raw = self._extracted(number, line)
            if raw and self._attributes:
                scores, spans = self._attributes.at(number, raw.id, raw.text)
                raw = replace(raw, scores=scores, spans=spans)
        except JSONDecodeError as error:
            self._look(number, line.strip())
            self._on_bad(self._extract.bad(number, _why(line, error), line))
            return None
        except UnreadableError as error:
            self._on_bad(self._extract.bad(number, str(error), line))
            return None
        return raw

    def _look(self, number: int, line: bytes) -> None:
        """Remember where what is no JSON may open, or close, an array or object over several lines."""
        if line[:1] in b"[{":
            self._opened = self._opened or number
        if line[:1] in b"]}" or any(line[-more:].strip(b"]}") == b"" and _is_json(line[:-more]) for more in (1, 2, 3)):
            self._closed = number

    def _extracted(self, number: int, line: bytes) -> RawDocument | None:
        try:
            return self._extract.document(json_value(line), number, exact=False)
        except RoundedError:
            pass
        try:
            return self._extract.document(exact_json(line), number)
        except RecursionError:
            raise UnreadableError("nested too deep") from None


class TextReader:
    """Plain UTF-8 text: a document a file, a line or a paragraph."""

    def __init__(self, extract: Extractor, on_bad: OnBad) -> None:
        self._extract, self._on_bad = extract, on_bad

    def read(self, stream: IO[bytes]) -> Iterator[RawDocument]:
        """Documents of one file, in order. Raises ForeignFile for a page of HTML, unless texts are HTML."""
        look = foreign if self._extract.source.html else foreign_or_page
        for number, block in self._blocks(_told_lines(stream, self._extract, self._on_bad, look)):
            if block.strip() and (document := self._document(number, block)):
                yield document

    def _blocks(self, lines: Iterator[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
        """(number of the first line, bytes) of each document."""
        mode, start, size = self._extract.source.documents, 1, 0
        block: list[bytes] = []
        for number, line in lines:
            if mode == "line":
                yield number, line
            elif mode == "paragraph" and not line.strip():
                yield from self._whole(start, block, size)
                block, size = [], 0
            else:
                start, size = start if size else number, size + len(line) + 1
                block.append(line)
                if size > LONGEST:
                    block.clear()
        yield from self._whole(start, block, size)

    def _whole(self, start: int, block: list[bytes], size: int) -> Iterator[tuple[int, bytes]]:
        """A document of several lines, unless it was too long to be held."""
        if size > LONGEST:
            self._on_bad(self._extract.bad(start, f"a document of more than {LONGEST:,} bytes", b""))
        elif size:
            yield start, b"\n".join(block)

    def _document(self, number: int, block: bytes) -> RawDocument | None:
        if full_of_nuls(block):
            self._on_bad(self._extract.bad(number, "full of NULs, as UTF-16 is: not UTF-8", block))
            return None
        try:
            text = block.decode("utf-8")
        except UnicodeDecodeError as error:
            line = number + block[: error.start].count(b"\n")
            self._on_bad(self._extract.bad(line, _not_utf8(error), block))
            return None
        record = {self._extract.source.text: text.rstrip("\r")}
        return self._extract.document(record, number)


class ParquetReader:
    """Parquet: only the columns that are asked for, in batches bounded by bytes; a damaged row group costs that
    group.
    """

    def __init__(self, extract: Extractor, on_bad: OnBad, first: int = 0, count: int | None = None) -> None:
        self._extract, self._on_bad = extract, on_bad
        self._rows = range(first, first + count) if count is not None else range(first, 1 << 62)

    def read(self, stream: IO[bytes]) -> Iterator[RawDocument]:
        """Documents of one file, or of its rows `first` to `first + count`, in order."""
        import pyarrow.parquet as pq

        try:
            file = pq.ParquetFile(stream, page_checksum_verification=True)  # Arrow does not look at them by default
            names, groups = file.schema_arrow.names, _rows_of_groups(file.metadata)
        except Exception as error:  # whatever Arrow makes of a damaged footer
            if looks := other_than(stream, b"PAR1"):
                raise ForeignFile(self._extract.label, looks) from None
            self._on_bad(self._extract.damaged(1, f"damaged Parquet file: {error}"))
            return
        columns = self._columns(names)
        start = 0
        for group, rows in enumerate(groups):
            if start < self._rows.stop and start + rows > self._rows.start:
                yield from self._group(file, group, start, columns)
            start += rows

    def _columns(self, names: list[str]) -> list[str]:
        """Columns that hold the keys of the source. Raises InputError where the text's is not there."""
        source = self._extract.source
        columns = []
        for key in dict.fromkeys((source.text, *([source.id] if source.id else []), *source.keep)):
            column = key if key in names else key.split(".")[0]
            if column in names:
                columns.append(column)
            elif key == source.text:
                raise InputError(f'{self._extract.label}: no column "{key}"; there are: {", ".join(names)}')
        return list(dict.fromkeys(columns))

    def _group(self, file: Any, group: int, start: int, columns: list[str]) -> Iterator[RawDocument]:
        """Documents of a row group whose first row is `start`."""
        row, about = start, file.metadata.row_group(group)
        size = max(1, min(1000, _BATCH_BYTES * about.num_rows // max(1, about.total_byte_size)))
        batches = file.iter_batches(size, row_groups=[group], columns=columns)
        while True:
            try:
                batch = next(batches)
            except StopIteration:
                if row < start + about.num_rows:
                    self._lost(row, start + about.num_rows, "they are not there")
                return
            except Exception as error:  # whatever Arrow's decoders meet in damaged bytes
                self._lost(row, start + about.num_rows, str(error) or type(error).__name__)
                return
            for record in _records(batch):
                if row in self._rows and (document := self._document(record, row + 1)):
                    yield document
                row += 1

    def _lost(self, row: int, end: int, why: str) -> None:
        """Tell of rows that are gone, as far as they are among those that are asked for."""
        row, end = max(row, self._rows.start), min(end, self._rows.stop)
        if row < end:
            reason = f"damaged Parquet file: {end - row} rows ({row + 1} to {end}) cannot be read: {why}"
            self._on_bad(self._extract.damaged(row + 1, reason, end - row))

    def _document(self, record: dict[str, Any] | _Unreadable, number: int) -> RawDocument | None:
        try:
            if isinstance(record, _Unreadable):
                raise UnreadableError(record.reason)
            return self._extract.document(record, number)
        except UnreadableError as error:
            self._on_bad(self._extract.bad(number, str(error), b""))
            return None


@dataclass(frozen=True)
class _Unreadable:
    """A row with a value that Python cannot hold: a string that is not UTF-8, a date beyond year 9999."""

    reason: str


def _records(batch: Any) -> list[Any]:
    """The rows of a batch, each by itself where one of them cannot be read."""
    try:
        return list(batch.to_pylist())
    except Exception:  # whatever Arrow's conversions raise
        return [_record(batch, row) for row in range(batch.num_rows)]


def _record(batch: Any, row: int) -> Any:
    try:
        return batch.slice(row, 1).to_pylist()[0]
    except UnicodeDecodeError as error:
        return _Unreadable(f"{_not_utf8(error)} of a string")
    except Exception as error:
        return _Unreadable(f"a value that cannot be read: {error}")


def _rows_of_groups(about: Any) -> list[int]:
    """Rows of every group. Raises ValueError where the footer contradicts itself."""
    rows = [about.row_group(group).num_rows for group in range(about.num_row_groups)]
    if sum(rows) != about.num_rows:
        raise ValueError(f"its footer says {about.num_rows} rows, and {sum(rows)} in its row groups")
    return rows


def _told_lines(
    stream: Any, extract: Extractor, on_bad: OnBad, look: Callable[[bytes], str] = foreign
) -> Iterator[tuple[int, bytes]]:
    """Lines of a file; what is too long, and where the file breaks off, is told."""

    def on_long(number: int) -> None:
        on_bad(extract.bad(number, f"a line of more than {LONGEST:,} bytes", b""))

    try:
        yield from numbered_lines(stream, extract.label, on_long, look)
    except DamagedFile as error:
        on_bad(extract.damaged(error.line, error.reason))


def _is_json(line: bytes) -> bool:
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return True


def _why(line: bytes, error: Exception) -> str:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError as unicode_error:
        return _not_utf8(unicode_error)
    return f"not valid JSON: {error}"


def _not_utf8(error: UnicodeDecodeError) -> str:
    return f"not UTF-8 (byte 0x{error.object[error.start]:02x} at column {error.start + 1})"
