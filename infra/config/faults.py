"""What pydantic has against a section, as problems of the file: where it stands, and what only *this* section may say.

pydantic's `loc` leads through the models, and names at every union the member that it took: a tag, which may be spelled
as a key of the file is. So the way is followed through the types, not through the data alone.
"""

from __future__ import annotations

import difflib
import re
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, Discriminator, Tag, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from infra.config.document import Path_, YamlDocument
from infra.config.placing import dotted
from infra.errors import Problem

LONGEST = 200
"""Characters of a value that are shown."""
_QUOTED = re.compile(r"'([^']*)'")
_NO_SECTION = ("model_type", "model_attributes_type", "dataclass_type")


def nearest(word: str, options: Iterable[str]) -> str:
    """Return '; did you mean "x"?' for the option nearest to `word`, or '' when nothing is near."""
    if len(word) > LONGEST:  # comparing takes the square of the length
        return ""
    near = difflib.get_close_matches(word, list(options), n=1, cutoff=0.5)
    return f'; did you mean "{near[0]}"?' if near else ""


def problems_of(error: ValidationError, document: YamlDocument, model: type[BaseModel]) -> list[Problem]:
    """One problem for each fault; what the members of a plain union (`int | Literal["all"]`) say of a value is one."""
    details = error.errors(include_url=False)
    messages: dict[Path_, list[str]] = {}
    unions: dict[Path_, list[ErrorDetails]] = {}
    for detail in details:
        if detail["type"] == "too_short" and any(_is_within(other["loc"], detail["loc"]) for other in details):
            continue  # pydantic counts wrong items as absent; they are told already
        spot = _spot_of(detail, document.data, model)
        messages.setdefault(spot.path, [])
        if spot.of_plain_union:
            unions.setdefault(spot.path, []).append(detail)
        elif (message := _message(detail, spot)) not in messages[spot.path]:
            messages[spot.path].append(message)
    for path, alternatives in unions.items():
        messages[path].append(_message_of_union(alternatives))
    return [Problem(document.locate(path), dotted(path), message)
            for path, texts in messages.items() for message in texts]  # fmt: skip


@dataclass(frozen=True)
class _Spot:
    """A path as it stands in the file, and the section that holds its last key."""

    path: Path_
    section: type[BaseModel] | None
    of_plain_union: bool
    names: tuple[str, ...] = ()
    """Of the members of a union, where it is not known which of them is meant."""


def _spot_of(detail: ErrorDetails, data: Any, model: type[BaseModel]) -> _Spot:
    """Follow pydantic's `loc` through the data and its types. What is not in the data is left out of the path, unless
    the fault is that it is not there, or not allowed.
    """
    loc, names_key = detail["loc"], detail["type"] in ("extra_forbidden", "missing")
    path: Path_ = ()
    section: type[BaseModel] | None = model
    kind: Any = model
    of_plain_union = False
    for position, segment in enumerate(loc):
        kind, notes = _bare(kind)
        if _is_union(kind):
            discriminator = _discriminator(notes)
            kind = _member(kind, discriminator, segment)
            of_plain_union = discriminator is None
            continue
        is_present = (isinstance(data, dict) and segment in data) or (
            isinstance(data, list) and isinstance(segment, int) and segment < len(data)
        )
        section = kind if _is_model(kind) else None
        kind = _below(kind, segment)
        if is_present or (names_key and position == len(loc) - 1):
            path = (*path, segment)
            data = data[segment] if is_present else None
    if detail["type"] not in ("union_tag_invalid", "union_tag_not_found"):
        return _Spot(path, section, of_plain_union)
    union, notes = _bare(kind)
    key = _discriminator(notes)
    if isinstance(key, str) and isinstance(data, dict):
        path = (*path, key)
    names = [name for member in _members(union) for name in _names(member, key)]
    return _Spot(path, section, of_plain_union, tuple(map(str, names)))


def _bare(kind: Any) -> tuple[Any, list[Any]]:
    """A type without what is annotated to it and without None, and those annotations."""
    notes: list[Any] = []
    while True:
        if typing.get_origin(kind) is Annotated:
            kind, *more = typing.get_args(kind)
            notes += more
        elif _is_union(kind) and len(members := _members(kind)) == 1:
            (kind,) = members
        else:
            return kind, notes


def _is_union(kind: Any) -> bool:
    return typing.get_origin(kind) in (typing.Union, types.UnionType)


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _members(union: Any) -> list[Any]:
    return [member for member in typing.get_args(union) if member is not type(None)]


def _discriminator(notes: Iterable[Any]) -> object | None:
    """The key, or the function, that tells the members of a union apart; None where pydantic tries all of them."""
    for note in notes:
        discriminator = note.discriminator if isinstance(note, (Discriminator, FieldInfo)) else None
        if isinstance(discriminator, Discriminator):
            discriminator = discriminator.discriminator
        if discriminator is not None:
            return discriminator
    return None


def _member(union: Any, discriminator: object | None, tag: str | int) -> Any:
    """The member that a tag stands for, or of a plain union the one of that name; Any where nothing is known of it."""
    return next((member for member in _members(union) if tag in _names(member, discriminator)), Any)


def _names(member: Any, discriminator: object | None) -> list[Any]:
    """What `loc` calls a member of a union."""
    kind, notes = _bare(member)
    if isinstance(discriminator, str):
        return list(typing.get_args(kind.model_fields[discriminator].annotation))
    return [note.tag for note in notes if isinstance(note, Tag)] or [getattr(kind, "__name__", None)]


def _below(kind: Any, segment: str | int) -> Any:
    """The type at a key or index of a value of this type; Any where nothing is known of it."""
    if _is_model(kind):
        info = _keys(kind).get(str(segment))
        return Any if info is None else Annotated[info.annotation, info, *info.metadata]
    arguments = typing.get_args(kind)
    if isinstance(segment, int) and Ellipsis not in arguments and segment < len(arguments) and len(arguments) > 1:
        return arguments[segment]
    values = [argument for argument in arguments if argument is not Ellipsis]
    return values[-1] if values else Any


def _keys(section: type[BaseModel]) -> dict[str, FieldInfo]:
    """The keys of a section as a file writes them: one that is a word of Python has another name in its class."""
    return {info.alias or name: info for name, info in section.model_fields.items()}


def _message(detail: ErrorDetails, spot: _Spot) -> str:
    value = detail["input"]
    match detail["type"]:
        case "extra_forbidden":
            allowed = sorted(_keys(spot.section)) if spot.section else []
            return f"unknown key; allowed here: {', '.join(allowed)}{nearest(str(spot.path[-1]), allowed)}"
        case "missing":
            return "is required and missing"
        case "union_tag_not_found":
            return f"is required and missing; there are: {', '.join(spot.names)}"
        case "union_tag_invalid" if detail["ctx"]["discriminator"].endswith("()"):  # a function's
            return f"should be a {' or a '.join(spot.names)}, not a {detail['ctx']['tag']}"
        case "union_tag_invalid":
            tag = str(detail["ctx"]["tag"])
            return f'there is no "{brief(tag)}"; there are: {", ".join(spot.names)}{nearest(tag, spot.names)}'
        case kind if kind in _NO_SECTION:
            return f"should be a section of keys and values{_shown(value)}"
    message = detail["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    if isinstance(value, (dict, list, BaseModel)):
        return message
    hint = nearest(value, _expected(detail)) if detail["type"] == "literal_error" and isinstance(value, str) else ""
    return f"{message[0].lower()}{message[1:]}{_shown(value)}{hint}"


def _message_of_union(details: list[ErrorDetails]) -> str:
    """`input should be a valid integer or 'all' (it is 'many')`."""
    value = details[0]["input"]
    if told := next((detail for detail in details if detail["type"] == "value_error"), None):
        return f"{told['msg'].removeprefix('Value error, ')}{_shown(value)}"
    expectations = [detail["msg"].removeprefix("Input should be ").partition(", unable")[0] for detail in details]
    names = [name for detail in details for name in _expected(detail)]
    hint = nearest(value, names) if isinstance(value, str) else ""
    return f"input should be {' or '.join(dict.fromkeys(expectations))}{_shown(value)}{hint}"


def _expected(detail: ErrorDetails) -> list[str]:
    """The names that would have been right, out of pydantic's `'a', 'b' or 'c'`."""
    context: Mapping[str, Any] = detail.get("ctx", {})
    return _QUOTED.findall(str(context.get("expected", "")))


def _shown(value: object) -> str:
    return "" if isinstance(value, (dict, list, BaseModel)) else f" (it is {brief(repr(value))})"


def brief(text: str) -> str:
    """A text cut to what a message can hold."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _is_within(inner: Path_, outer: Path_) -> bool:
    return len(inner) > len(outer) and inner[: len(outer)] == outer
