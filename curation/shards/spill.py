"""Documents between two passes: one JSON array a line, zstd, exact to the last bit of every score; never kept."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import astuple
from pathlib import Path

import orjson
import zstandard
from datatrove.data import Document

from curation.corpus.documents import MARKS, Marks, marks_of, metadata_of
from curation.corpus.records import Span
from curation.formats.lines import numbered_lines

SUFFIX = ".jsonl.zst"
_LEVEL = 1  # these files live for minutes


def store(documents: Iterable[Document], file: Path) -> int:
    """Write documents to `file`; returns how many. Not atomic: the caller renames."""
    count = 0
    with open(file, "wb") as raw, zstandard.ZstdCompressor(level=_LEVEL).stream_writer(raw) as out:
        for document in documents:
            out.write(line_of(document))
            count += 1
    return count


def line_of(document: Document) -> bytes:
    """A document as its line; metadata with numbers beyond 64 bits, which orjson refuses, as text of its own."""
    marks, metadata = marks_of(document), metadata_of(document)
    spans = None if marks.spans is None else [astuple(span) for span in marks.spans]
    row = [document.id, document.text, marks.source, metadata, marks.scores, spans]
    try:
        return orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:
        row[3] = json.dumps(metadata)
        return orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)


def stored(file: Path) -> Iterator[Document]:
    """The documents of a stored file. Raises DataError where it is damaged."""
    with open(file, "rb") as raw:
        for _, line in numbered_lines(raw, file.name):
            name, text, source, metadata, scores, rows = orjson.loads(line)
            metadata = json.loads(metadata) if isinstance(metadata, str) else metadata
            spans = None if rows is None else [Span(*row) for row in rows]
            yield Document(text=text, id=name, metadata={**metadata, MARKS: Marks(source, scores, spans)})
