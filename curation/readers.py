"""datatrove's readers, made safe: a bad line is told and skipped, a damaged file is an error, nothing is lost in
silence.

datatrove's own JsonlReader drops what follows an invalid byte and counts a broken line nowhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from datatrove.data import Document
from datatrove.pipeline.readers import JsonlReader, ParquetReader
from datatrove.pipeline.readers.base import BaseDiskReader

from curation.documents import as_datatrove, marks_of, metadata_of
from curation.extract import Extractor, OnBad, UnreadableError
from curation.lines import numbered_lines
from curation.records import RawDocument
from infra.errors import DataError, InputError

_BOM = b"\xef\xbb\xbf"


class SafeJsonlReader(JsonlReader):
    """JSON Lines, each line decoded on its own."""

    def __init__(self, folder: Any, extract: Extractor, on_bad: OnBad) -> None:
        super().__init__(folder, compression=None)
        self._extract, self._on_bad = extract, on_bad

    def read_file(self, filepath: str) -> Iterator[Document]:
        """Documents of one file, in order."""
        with self.data_folder.open(filepath, "rb") as stream:
            for number, line in numbered_lines(stream, self._extract.label):
                if line.strip() and (document := self._document(number, line)):
                    yield document

    def _document(self, number: int, line: bytes) -> Document | None:
        import orjson

        try:
            raw = self._extract.document(orjson.loads(line.removeprefix(_BOM) if number == 1 else line), number)
        except orjson.JSONDecodeError as error:
            self._on_bad(self._extract.bad(number, _why(line, error), line))
            return None
        except UnreadableError as error:
            self._on_bad(self._extract.bad(number, str(error), line))
            return None
        return as_datatrove(raw) if raw else None


class TextReader(BaseDiskReader):
    """Plain UTF-8 text: a document a file, a line or a paragraph."""

    name = "text"

    def __init__(self, folder: Any, extract: Extractor, on_bad: OnBad) -> None:
        super().__init__(folder)
        self._extract, self._on_bad = extract, on_bad

    def read_file(self, filepath: str) -> Iterator[Document]:
        """Documents of one file, in order."""
        with self.data_folder.open(filepath, "rb") as stream:
            for number, block in self._blocks(numbered_lines(stream, self._extract.label)):
                if document := self._document(number, block.removeprefix(_BOM) if number == 1 else block):
                    yield document

    def _blocks(self, lines: Iterator[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
        """(number of the first line, bytes) of each document."""
        mode, start = self._extract.source.documents, 1
        block: list[bytes] = []
        for number, line in lines:
            if mode == "line":
                yield number, line
            elif mode == "paragraph" and not line.strip():
                yield start, b"\n".join(block)
                block = []
            else:
                start = start if block else number
                block.append(line)
        if block:
            yield start, b"\n".join(block)

    def _document(self, number: int, block: bytes) -> Document | None:
        try:
            text = block.decode("utf-8")
        except UnicodeDecodeError as error:
            line = number + block[: error.start].count(b"\n")
            self._on_bad(self._extract.bad(line, _not_utf8(error), block))
            return None
        record = {self._extract.source.text: text.rstrip("\r")}
        raw = self._extract.document(record, number)
        return as_datatrove(raw) if raw else None


class SafeParquetReader(ParquetReader):
    """Parquet, with a missing column and a damaged file as clear errors."""

    def __init__(self, folder: Any, extract: Extractor, on_bad: OnBad) -> None:
        super().__init__(folder, adapter=_parquet_adapter)
        self._extract, self._on_bad, self._row = extract, on_bad, 0

    def read_file(self, filepath: str) -> Iterator[Document]:
        """Documents of one file, in order."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        label, key = self._extract.label, self._extract.source.text
        try:
            with self.data_folder.open(filepath, "rb") as stream:
                columns = pq.read_schema(stream).names
            if key not in columns and key.split(".")[0] not in columns:
                raise InputError(f'{label}: no column "{key}"; there are: {", ".join(columns)}')
            yield from super().read_file(filepath)
        except (pa.ArrowInvalid, OSError) as error:
            raise DataError(f"{label}:{self._row + 1}: damaged Parquet file: {error}") from None


def _parquet_adapter(self: SafeParquetReader, row: dict[str, Any], path: str, number: int) -> dict[str, Any]:
    self._row += 1
    try:
        raw = self._extract.document(row, self._row)
    except UnreadableError as error:
        self._on_bad(self._extract.bad(self._row, str(error), b""))
        raw = None
    if raw is None:
        return {"text": "", "id": ""}  # which datatrove's reader leaves out
    document = as_datatrove(raw)
    return {"text": document.text, "id": document.id, "metadata": document.metadata}


def as_raw(document: Document) -> RawDocument:
    """The document as a source gives it."""
    return RawDocument(document.id, document.text, marks_of(document).source, metadata_of(document))


def _why(line: bytes, error: Exception) -> str:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError as unicode_error:
        return _not_utf8(unicode_error)
    return f"not valid JSON: {error}"


def _not_utf8(error: UnicodeDecodeError) -> str:
    return f"not UTF-8 (byte 0x{error.object[error.start]:02x} at column {error.start + 1})"
