"""Reading sources, whatever they are: what the floors above use for prompts and labelled texts too."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from io import BytesIO
from typing import IO

from curation.corpus.records import BadLine, RawDocument
from curation.formats.appearance import appearance
from curation.formats.lines import beginning
from curation.sources.dolma_attributes import AttributeLines
from curation.sources.extract import Check, Extractor, OnBad, OnSkip, UnreadableError
from curation.sources.hub import rows
from curation.sources.input_files import InputFile, input_files_of, is_read_at_once, opened, read_at_once
from curation.sources.readers import JsonlReader, ParquetReader, TextReader
from curation.sources.spec import AnySource, ForumSpec, SourceSpec
from curation.sources.synthetic.forum import threads
from curation.sources.unchanged import check_unchanged
from infra.errors import DataError

_HOPELESS = 100  # bad lines with which a file may begin


def read_source(
    source: AnySource, on_bad: OnBad | None = None, check: Check | None = None, on_skip: OnSkip | None = None
) -> Iterator[RawDocument]:
    """Documents of a source, in order. A line that is no document, or that `check` refuses, goes to `on_bad`; without
    it, it raises DataError.

    Raises InputError (missing file, wrong checksum), UnavailableError (hub or wheel that cannot be had), DataError
    (damaged file).
    """
    for input_file in input_files_of(source, 0):
        yield from read_hopefully(input_file, on_bad or _refuse, on_skip, check=check)


def read_hopefully(
    input_file: InputFile,
    on_bad: OnBad,
    on_skip: OnSkip | None = None,
    keep_damaged: bool = False,
    check: Check | None = None,
) -> Iterator[RawDocument]:
    """`read_input_file`, which gives a file up when its first lines are all bad, or all there are: it is not the file
    that was meant. That it could not be unpacked is no reason where such files are kept. Raises DataError.
    """
    bad: list[BadLine] = []
    good = False

    def bad_line(line: BadLine) -> None:
        on_bad(line)
        if not good and len(bad) < _HOPELESS:
            bad.append(line)
            if len(bad) == _HOPELESS:
                reason = f"so are the {_HOPELESS - 1} lines after it, so the file is given up"
                raise DataError(f"{bad[0]}; {reason}{looks_like(input_file)}")

    def skip(document: RawDocument, reason: str) -> None:
        nonlocal good
        good = True
        if on_skip is not None:
            on_skip(document, reason)

    for document in read_input_file(input_file, bad_line, skip, keep_damaged, check):
        good = True
        yield document
    if bad and not good and _is_whole_file(input_file) and not all(line.damage for line in bad):
        raise DataError(f"{bad[0]}; nothing else of the file can be read either{looks_like(input_file)}")


def _is_whole_file(input_file: InputFile) -> bool:
    """Whether this is a file with documents in it: not a piece of one, and not a text that is one document."""
    source = input_file.source
    is_text = ".txt" in input_file.location.rpartition("/")[2]
    one = isinstance(source, SourceSpec) and source.documents == "file" and is_text
    return not input_file.count and not one


def read_input_file(
    input_file: InputFile,
    on_bad: OnBad,
    on_skip: OnSkip | None = None,
    keep_damaged: bool = False,
    check: Check | None = None,
) -> Iterator[RawDocument]:
    """Documents of an input file, in order; `on_skip` gets those left out (empty, or repeated under `unique`).

    A file that breaks off raises DataError, or under `keep_damaged` is one bad line.
    """
    if isinstance(input_file.source, ForumSpec):
        return threads(input_file.source, input_file.first, input_file.count, read_source)
    extract = Extractor(input_file.source, input_file.number, input_file.label, on_skip, keep_damaged, check)
    if input_file.source.path.startswith("hf:"):
        return _read_rows(input_file, extract, on_bad)
    return _read_file(input_file, extract, on_bad)


def _read_file(input_file: InputFile, extract: Extractor, on_bad: OnBad) -> Iterator[RawDocument]:
    try:
        if is_read_at_once(input_file):
            yield from _read_stream(BytesIO(read_at_once(input_file)), input_file, extract, on_bad)
        else:
            with opened(input_file) as stream:
                yield from _read_stream(stream, input_file, extract, on_bad)
            check_unchanged(input_file)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):  # of what is written meanwhile, not of this file
            raise
        gone = isinstance(error, FileNotFoundError)
        why = "it was there when the run began, and is gone" if gone else f"it cannot be read: {error}"
        raise DataError(f"{input_file.label}: {why}") from None
    _end(input_file, extract)


def _end(input_file: InputFile, extract: Extractor) -> None:
    """Raise DataError where an input file, now that all of it was read, turns out to be something else."""
    extract.end()
    if extract.first_without_text and (looks := looks_like(input_file)):
        raise DataError(f"{extract.first_without_text}, as in all of its records{looks}")


def looks_like(input_file: InputFile) -> str:
    """What an input file that cannot be read looks like, as the end of a message; '' where nobody knows."""
    head = b""
    if input_file.location and not input_file.location.endswith(".parquet"):
        with contextlib.suppress(OSError), opened(input_file) as stream:
            head = beginning(stream, input_file.location)
    looks = appearance(head)
    return f"; it looks like {looks}" if looks else ""


def _read_stream(stream: IO[bytes], input_file: InputFile, extract: Extractor, on_bad: OnBad) -> Iterator[RawDocument]:
    if input_file.location.endswith(".parquet"):
        return ParquetReader(extract, on_bad, input_file.first, input_file.count or None).read(stream)
    if ".txt" in input_file.location.rpartition("/")[2]:
        return TextReader(extract, on_bad).read(stream)
    if extract.source.attributes:
        return _read_with_attributes(stream, input_file, extract, on_bad)
    return JsonlReader(extract, on_bad).read(stream)


def _read_with_attributes(
    stream: IO[bytes], input_file: InputFile, extract: Extractor, on_bad: OnBad
) -> Iterator[RawDocument]:
    with AttributeLines(input_file.location, extract.source.attributes) as attributes:
        yield from JsonlReader(extract, on_bad, attributes).read(stream)


def _read_rows(input_file: InputFile, extract: Extractor, on_bad: OnBad) -> Iterator[RawDocument]:
    for number, row in enumerate(rows(extract.source), start=1):
        try:
            if document := extract.document(row, number):
                yield document
        except UnreadableError as error:
            on_bad(extract.bad(number, str(error), b""))
    check_unchanged(input_file)
    _end(input_file, extract)


def _refuse(bad: BadLine) -> None:
    raise DataError(str(bad))
