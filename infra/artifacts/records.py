"""The JSON files of artifacts as frozen dataclasses: read once, checked against what the dataclass says, and written.

A field whose default is None is a key that came later, or that is only there where it is used: it is left out of the
file while it is None, so that what was written before such a key existed keeps its bytes.
"""

from __future__ import annotations

import dataclasses
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import BaseModel, JsonValue, TypeAdapter, ValidationError

from infra.errors import ArtifactError

JsonObject = dict[str, JsonValue]
"""A JSON object that nothing is known of: what a stage counted, the header of a card."""

R = TypeVar("R")


def from_json(kind: type[R], text: str | bytes, source: Path | str, *, remedy: str = "run its stage again") -> R:
    """The record that `text`, a JSON object out of the file `source`, holds; keys that `kind` has not are skipped.

    Raises ArtifactError, which names the file, every missing key and every value of a wrong type, and says what to do.
    """
    try:
        # Strict: "12" is no number and 1 no truth value. Of JSON, lists still become tuples, and objects dataclasses.
        record: R = _adapter(cast(Any, kind)).validate_json(text, strict=True)
    except ValidationError as error:
        problems = "; ".join(_problem(fault["loc"], fault["type"], fault["msg"]) for fault in error.errors())
        raise ArtifactError(f"{source}: {problems}; {remedy}") from None
    return record


def read_record(kind: type[R], path: Path, *, remedy: str = "run its stage again") -> R:
    """The record in the file at `path`. Raises ArtifactError, also where there is no such file."""
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        raise ArtifactError(f"{path}: missing; {remedy}") from None
    return from_json(kind, text, path, remedy=remedy)


def to_json(record: Any) -> dict[str, Any]:
    """The JSON object of a record, as `from_json` reads it."""
    return {
        field.name: _plain(value)
        for field in dataclasses.fields(record)
        if (value := getattr(record, field.name)) is not None or field.default is not None
    }


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _problem(location: tuple[int | str, ...], kind: str, message: str) -> str:
    key = ".".join(map(str, location))
    reason = "missing" if kind == "missing" else message[:1].lower() + message[1:]
    return f"{key}: {reason}" if key else reason


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return to_json(value)
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, dict):
        return {key: _plain(member) for key, member in value.items()}
    return [_plain(member) for member in value] if isinstance(value, list | tuple) else value
