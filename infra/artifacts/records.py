"""JSON files as frozen records: read once, at the edge, and everything that does not fit is named with its file."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from infra.errors import ArtifactError, InputError

R = TypeVar("R")


def from_json(record: type[R], text: bytes | str, file: Path) -> R:
    """`text`, which stands in `file`, as a dataclass `record`; keys that it does not have are left out.

    Types are taken strictly: "3" is no number. Raises ArtifactError naming the file and the first key that is missing
    or of the wrong type.
    """
    try:
        return TypeAdapter(record).validate_json(text, strict=True)
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(map(str, problem["loc"])) or "the whole"
        what = "missing" if problem["type"] in ("missing", "missing_argument") else problem["msg"]
        raise ArtifactError(f"{file}: {key}: {what}; the file is damaged or of another version") from None


def read_record(record: type[R], file: Path) -> R:
    """The JSON file as a dataclass `record`. Raises InputError where there is no file, and what `from_json` raises."""
    try:
        text = file.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{file}: no such file") from None
    return from_json(record, text, file)
