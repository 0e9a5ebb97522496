"""Readers of the formats: a bad line is told and skipped, a damaged file is an error, nothing is lost in silence.

datatrove's own JsonlReader drops what follows an invalid byte and counts a broken line nowhere; its ParquetReader takes
all columns and gives a file up at its first damage; and its way to a file costs more than a small file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import IO, TYPE_CHECKING, Any

from curation.extract import Extractor, OnBad, RoundedError, UnreadableError
from curation.json_line import JSONDecodeError, exact_json, json_value
from curation.lines import LONGEST, DamagedFile, numbered_lines
from curation.records import RawDocument
from infra.errors import InputError

if TYPE_CHECKING:
    from curation.dolma.read import AttributeLines

_BOM = b"\xef\xbb\xbf"
_BATCH_BYTES = 16_000_000  # of a Parquet row group that are turned into Python objects at once


class JsonlReader:
    """JSON Lines, each line decoded on its own, with what Dolma attribute files say of it."""

    def __init__(self, extract: Extractor, on_bad: OnBad, attributes: AttributeLines | None = None) -> None:
        self._extract, self._on_bad, self._attributes = extract, on_bad, attributes

    def read(self, stream: IO[bytes]) -> Iterator[RawDocument]:
        """Documents of one file, in order."""
        for number, line in _told_lines(stream, self._extract, self._on_bad):
            if line.strip() and (document := self._document(number, line)):
                yield document

    def _document(self, number: int, line: bytes) -> RawDocument | None:
        line = line.removeprefix(_BOM) if number == 1 else line
        try:
            raw = self._extracted(number, line)
            if raw and self._attributes:
                scores, spans = self._attributes.at(number, raw.id, raw.text)
                raw = replace(raw, scores=scores, spans=spans)
        except JSONDecodeError as error:
            self._on_bad(self._extract.bad(number, _why(line, error), line))
            return None
        except UnreadableError as error:
            self._on_bad(self._extract.bad(number, str(error), line))
            return None
        return raw

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
        """Documents of one file, in order."""
        for number, block in self._blocks(_told_lines(stream, self._extract, self._on_bad)):
            if not block.strip():
                continue
            if document := self._document(number, block.removeprefix(_BOM) if number == 1 else block):
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
            file = pq.ParquetFile(stream, page_checksum_verification=True)
        except Exception as error:  # whatever Arrow makes of a damaged footer
            self._on_bad(self._extract.damaged(1, f"damaged Parquet file: {error}"))
            return
        columns = self._columns(file.schema_arrow.names)
        start = 0
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            if start < self._rows.stop and start + rows > self._rows.start:
                yield from self._group(file, group, start, columns)
            start += rows

    def _columns(self, names: list[str]) -> list[str]:
        """Columns that hold the keys of the source. Raises InputError where the text's is not there."""
        source = self._extract.source
        found = []
        for key in dict.fromkeys((source.text, *([source.id] if source.id else []), *source.keep)):
            column = key if key in names else key.split(".")[0]
            if column in names:
                found.append(column)
            elif key == source.text:
                raise InputError(f'{self._extract.label}: no column "{key}"; there are: {", ".join(names)}')
        return list(dict.fromkeys(found))

    def _group(self, file: Any, group: int, start: int, columns: list[str]) -> Iterator[RawDocument]:
        """Documents of a row group whose first row is `start`."""
        row, about = start, file.metadata.row_group(group)
        size = max(1, min(1000, _BATCH_BYTES * about.num_rows // max(1, about.total_byte_size)))
        batches = file.iter_batches(size, row_groups=[group], columns=columns)
        while True:
            try:
                records = next(batches).to_pylist()
            except StopIteration:
                if row < start + about.num_rows:
                    self._lost(row, start + about.num_rows, "they are not there")
                return
            except Exception as error:  # whatever Arrow's decoders meet in damaged bytes
                self._lost(row, start + about.num_rows, str(error) or type(error).__name__)
                return
            for record in records:
                if row in self._rows and (document := self._document(record, row + 1)):
                    yield document
                row += 1

    def _lost(self, row: int, end: int, why: str) -> None:
        reason = f"damaged Parquet file: rows {row + 1} to {end} cannot be read: {why}"
        self._on_bad(self._extract.damaged(row + 1, reason))

    def _document(self, record: dict[str, Any], number: int) -> RawDocument | None:
        try:
            return self._extract.document(record, number)
        except UnreadableError as error:
            self._on_bad(self._extract.bad(number, str(error), b""))
            return None


def _told_lines(stream: Any, extract: Extractor, on_bad: OnBad) -> Iterator[tuple[int, bytes]]:
    """Lines of a file; what is too long, and where the file breaks off, is told."""

    def on_long(number: int) -> None:
        on_bad(extract.bad(number, f"a line of more than {LONGEST:,} bytes", b""))

    try:
        yield from numbered_lines(stream, extract.label, on_long)
    except DamagedFile as error:
        on_bad(extract.damaged(error.line, error.reason))


def _why(line: bytes, error: Exception) -> str:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError as unicode_error:
        return _not_utf8(unicode_error)
    return f"not valid JSON: {error}"


def _not_utf8(error: UnicodeDecodeError) -> str:
    return f"not UTF-8 (byte 0x{error.object[error.start]:02x} at column {error.start + 1})"
