"""Dolma attribute files beside a document file, read in step with it, line by line.

Dolma's own mixer lets a document pass unfiltered when its attributes cannot be read. Here such a document is a bad
line, named in the quarantine; a missing or shorter attribute file stops the run.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from curation.corpus.records import Span
from curation.formats.dolma_spec import DolmaAttributeSpec, attribute_files
from curation.formats.json_line import JSONDecodeError, beyond_64_bits, exact_json, json_value
from curation.formats.lines import numbered_lines
from curation.sources.extract import UnreadableError
from infra.errors import DataError

if TYPE_CHECKING:
    from types import TracebackType

_ABOVE_ONE = 1e-3  # fastText's rounding: 1.00001 is 1


class AttributeLines:
    """The attributes of one document file; a context manager that holds the attribute files open."""

    def __init__(self, location: str, specs: tuple[DolmaAttributeSpec, ...]) -> None:
        self._specs, self._files = specs, attribute_files(location, specs)
        self._open = ExitStack()
        self._lines: dict[str, Iterator[tuple[int, bytes]]] = {}

    def __enter__(self) -> AttributeLines:
        import fsspec

        for folder, file in self._files.items():
            try:
                stream = self._open.enter_context(fsspec.open(file, "rb"))
            except FileNotFoundError:
                raise DataError(f"{file}: the attribute file was there when the run began, and is gone") from None
            self._lines[folder] = numbered_lines(stream, file)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._open.close()

    def at(self, number: int, document: str, text: str) -> tuple[dict[str, float], list[Span] | None]:
        """Scores and spans of the document in line `number`; lines are asked for in rising order.

        Raises UnreadableError where its attributes are not there or not right, DataError where a file ends early.
        """
        attributes = {folder: self._attributes(folder, number, document) for folder in self._lines}
        scores: dict[str, float] = {}
        spans: list[Span] | None = [] if any(spec.spans for spec in self._specs) else None
        for spec in self._specs:
            where = f"attributes/{spec.folder}"
            values = _values(attributes[spec.folder], spec.key, len(text), where)
            if spec.score is not None:
                if not values:
                    raise UnreadableError(f'{where}: "{spec.key}" of document {document} is empty: no score')
                scores[spec.score] = max(score for _, _, score in values)
            if spec.spans is not None and spans is not None:
                spans += [Span(start, end, spec.spans, score) for start, end, score in values]
        return scores, sorted(spans, key=lambda span: (span.start, span.end)) if spans is not None else None

    def _attributes(self, folder: str, number: int, document: str) -> dict[str, Any]:
        line = next((line for at, line in self._lines[folder] if at == number), None)
        if line is None:
            raise DataError(f"{self._files[folder]}:{number}: the attribute file ends before its documents do")
        where = f"attributes/{folder}"
        try:
            record = json_value(line)
            if isinstance(record, dict) and beyond_64_bits(record.get("id")):
                record["id"] = exact_json(line)["id"]
        except JSONDecodeError as error:
            raise UnreadableError(f"{where}: not valid JSON: {error}") from None
        if not isinstance(record, dict) or not isinstance(record.get("attributes"), dict):
            raise UnreadableError(f'{where}: no object with the key "attributes"')
        if str(record.get("id")) != document:
            raise UnreadableError(f"{where}: the attributes of {record.get('id')} beside document {document}")
        return dict(record["attributes"])


def _values(attributes: dict[str, Any], key: str, length: int, where: str) -> list[tuple[int, int, float]]:
    """The checked `[start, end, score]` under a key."""
    if key not in attributes:
        raise UnreadableError(f'{where}: no key "{key}" (there is: {", ".join(sorted(attributes)[:8])})')
    try:
        values = [(start, end, score) for start, end, score in attributes[key]]
    except (TypeError, ValueError):
        raise UnreadableError(f'{where}: "{key}" is no list of [start, end, score]') from None
    return [_checked(value, key, length, where) for value in values]


def _checked(value: tuple[Any, Any, Any], key: str, length: int, where: str) -> tuple[int, int, float]:
    start, end, score = value
    integers = all(isinstance(offset, int) and not isinstance(offset, bool) for offset in (start, end))
    if not (integers and 0 <= start <= end <= length):
        raise UnreadableError(f'{where}: "{key}" has the span {start} to {end} in a text of {length} characters')
    if not isinstance(score, int | float) or not 0 <= score <= 1 + _ABOVE_ONE:
        raise UnreadableError(f'{where}: "{key}" has the score {score!r}, which is not in [0, 1]')
    return start, end, min(float(score), 1.0)
