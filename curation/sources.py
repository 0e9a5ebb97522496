"""Reading sources, whatever they are: what the floors above use for prompts and labelled texts too."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from typing import IO

from curation.appearance import appearance
from curation.dolma.read import AttributeLines
from curation.extract import Check, Extractor, OnBad, OnSkip, UnreadableError
from curation.lines import beginning
from curation.parts import Part, opened, parts_of
from curation.readers import JsonlReader, ParquetReader, TextReader
from curation.records import BadLine, RawDocument
from curation.source_spec import AnySource, ForumSpec
from curation.versions import check_unchanged
from infra.errors import DataError


def read_source(
    source: AnySource, on_bad: OnBad | None = None, check: Check | None = None, on_skip: OnSkip | None = None
) -> Iterator[RawDocument]:
    """Documents of a source, in order. A line that is no document, or that `check` refuses, goes to `on_bad`; without
    it, it raises DataError.

    Raises InputError (missing file, wrong checksum), UnavailableError (hub or wheel that cannot be had), DataError
    (damaged file).
    """
    for part in parts_of(source, 0):
        yield from read_part(part, on_bad or _refuse, on_skip, check=check)


def read_part(
    part: Part,
    on_bad: OnBad,
    on_skip: OnSkip | None = None,
    keep_damaged: bool = False,
    check: Check | None = None,
) -> Iterator[RawDocument]:
    """Documents of one part, in order; `on_skip` gets those that are left out (empty, or repeated under `unique`).

    A file that breaks off raises DataError, or under `keep_damaged` is one bad line.
    """
    if isinstance(part.source, ForumSpec):
        from curation.forum.source import threads

        return threads(part.source, part.first, part.count)
    extract = Extractor(part.source, part.number, part.label, on_skip, keep_damaged, check)
    if part.source.path.startswith("hf:"):
        return _to_the_end(_read_rows(part, extract, on_bad), part, extract)
    return _to_the_end(_read_file(part, extract, on_bad), part, extract)


def _to_the_end(documents: Iterator[RawDocument], part: Part, extract: Extractor) -> Iterator[RawDocument]:
    """Documents of a part; raises DataError at its end where it turns out to be something else."""
    yield from documents
    extract.end()
    if extract.first_without_text and (looks := looks_like(part)):
        raise DataError(f"{extract.first_without_text}, as in all of its records{looks}")


def _read_file(part: Part, extract: Extractor, on_bad: OnBad) -> Iterator[RawDocument]:
    try:
        with opened(part) as stream:
            yield from _read_stream(stream, part, extract, on_bad)
        check_unchanged(part)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):  # of what is written meanwhile, not of this file
            raise
        gone = isinstance(error, FileNotFoundError)
        why = "it was there when the run began, and is gone" if gone else f"it cannot be read: {error}"
        raise DataError(f"{part.label}: {why}") from None


def looks_like(part: Part) -> str:
    """What a part that cannot be read looks like, as the end of a message; '' where nobody knows."""
    head = b""
    if part.location and not part.location.endswith(".parquet"):
        with contextlib.suppress(OSError), opened(part) as stream:
            head = beginning(stream, part.location)
    looks = appearance(head)
    return f"; it looks like {looks}" if looks else ""


def _read_stream(stream: IO[bytes], part: Part, extract: Extractor, on_bad: OnBad) -> Iterator[RawDocument]:
    if part.location.endswith(".parquet"):
        return ParquetReader(extract, on_bad, part.first, part.count or None).read(stream)
    if ".txt" in part.location.rpartition("/")[2]:
        return TextReader(extract, on_bad).read(stream)
    if extract.source.attributes:
        return _read_with_attributes(stream, part, extract, on_bad)
    return JsonlReader(extract, on_bad).read(stream)


def _read_with_attributes(stream: IO[bytes], part: Part, extract: Extractor, on_bad: OnBad) -> Iterator[RawDocument]:
    with AttributeLines(part.location, extract.source.attributes) as attributes:
        yield from JsonlReader(extract, on_bad, attributes).read(stream)


def _read_rows(part: Part, extract: Extractor, on_bad: OnBad) -> Iterator[RawDocument]:
    from curation.hub import rows

    for number, row in enumerate(rows(extract.source), start=1):
        try:
            if document := extract.document(row, number):
                yield document
        except UnreadableError as error:
            on_bad(extract.bad(number, str(error), b""))
    check_unchanged(part)


def _refuse(bad: BadLine) -> None:
    raise DataError(str(bad))
