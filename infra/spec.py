"""Typed YAML: pydantic models, unknown keys refused with the nearest key, every problem at once with file:line."""

from __future__ import annotations

import difflib
import types
import typing
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, ValidationInfo

from infra.document import Document, Path_, apply_override, read_yaml
from infra.errors import ConfigError, Problem
from infra.extends import Anchored
from infra.paths import absolute, file_name
from infra.placing import dotted

S = TypeVar("S", bound=Sequence[Any])

_SCHEMES = ("hf:", "wheel:", "synthetic:")
_LONGEST = 200  # characters of a value that are shown


class Spec(BaseModel):
    """Base of every YAML section: frozen, and a key that is not declared is an error."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, protected_namespaces=(), allow_inf_nan=False
    )
    later: ClassVar[frozenset[str]] = frozenset()
    """Keys younger than fingerprints of the section: left out of them where they have their default."""


def _absolute(value: object, info: ValidationInfo) -> object:
    base = value.folder if isinstance(value, Anchored) else (info.context or {}).get("base")
    if not isinstance(value, str) or base is None or "://" in value or value.startswith(_SCHEMES):
        if isinstance(value, str) and "\0" in value:
            raise ValueError("a path holds no NUL character")
        return value
    return str(absolute(value, Path(base)))


FileName = Annotated[str, AfterValidator(file_name)]
"""What a folder or file below the result is called; it cannot lead out of there."""

Seed = Annotated[int, Field(ge=0, lt=2**63)]
"""A seed of draws; what generators of random numbers take."""

Location = Annotated[str, BeforeValidator(_absolute)]
"""A path or URL in YAML; relative paths are relative to the folder of the YAML file in which they stand."""


def distinct(values: S) -> S:
    """`values` if none stands twice; 1 and 1.0 are one. Raises ValueError."""
    if repeated := [value for value, count in Counter(values).items() if count > 1]:
        raise ValueError(f"{repeated[0]} stands more than once")
    return values


def keys_of(value: object) -> Iterable[str]:
    """The keys that a section has, written or read already; none of what is no section. For telling unions apart."""
    return value if isinstance(value, dict) else value.model_fields_set if isinstance(value, BaseModel) else ()


def portable(spec: BaseModel) -> dict[str, Any]:
    """A section as plain data in which every Location that is a path is cut down to its last part: what `lineage`
    shows and a fingerprint holds must not depend on where somebody keeps his files.
    """
    return {name: _portable(getattr(spec, name), info.annotation, info.metadata)
            for name, info in type(spec).model_fields.items() if not _came_later(spec, name)}  # fmt: skip


def _came_later(spec: BaseModel, name: str) -> bool:
    """Whether a key at its default is one that earlier versions did not have."""
    return (
        isinstance(spec, Spec) and name in spec.later and getattr(spec, name) == type(spec).model_fields[name].default
    )


def _portable(value: Any, annotation: Any, metadata: Iterable[Any] = ()) -> Any:
    if isinstance(value, BaseModel):
        return portable(value)
    if isinstance(value, str) and (_is_location(metadata) or _names_location(annotation)):
        return value if value.startswith(_SCHEMES) else value.rstrip("/").rpartition("/")[2]
    if isinstance(value, (list, tuple)):
        return [_portable(item, annotation) for item in value]
    if isinstance(value, dict):
        return {key: _portable(item, annotation) for key, item in value.items()}
    return value


def _is_location(metadata: Iterable[Any]) -> bool:
    return any(isinstance(each, BeforeValidator) and each.func is _absolute for each in metadata)


def _names_location(annotation: Any) -> bool:
    """Whether a Location stands anywhere inside a type."""
    if typing.get_origin(annotation) is Annotated and _is_location(typing.get_args(annotation)[1:]):
        return True
    return any(_names_location(inner) for inner in typing.get_args(annotation))


def nearest(word: str, options: Iterable[str]) -> str:
    """Return '; did you mean "x"?' for the option nearest to `word`, or '' when nothing is near."""
    if len(word) > _LONGEST:  # comparing takes the square of the length
        return ""
    found = difflib.get_close_matches(word, list(options), n=1, cutoff=0.5)
    return f'; did you mean "{found[0]}"?' if found else ""


def validate(document: Document, model: type[Spec]) -> Spec:
    """Check a document against its model; raises one ConfigError with every problem."""
    data = {key: value for key, value in document.data.items() if key != "kind"}
    if "name" in model.model_fields:
        data.setdefault("name", document.path.stem)
    try:
        return model.model_validate(data, context={"base": str(document.path.resolve().parent)})
    except ValidationError as error:
        raise ConfigError(_problems(error, document, model)) from None


def from_settings(model: type[Spec], settings: Iterable[str]) -> Spec:
    """A section from `a.b=c` alone, without a file. Raises ConfigError with every problem."""
    document = Document(Path("--set"), {})
    for setting in settings:
        apply_override(document, setting)
    return validate(document, model)


class Loaded(NamedTuple):
    """A file that is right: its kind, what it says, and on which lines."""

    kind: str
    spec: Spec
    document: Document


def load_spec(
    path: Path, kinds: Mapping[str, Callable[[], type[Spec]]], overrides: Iterable[str] = ()
) -> tuple[str, Spec]:
    """Read `path` and check it against the model of its `kind`; returns (kind, spec)."""
    return load_file(path, kinds, overrides)[:2]


def load_file(path: Path, kinds: Mapping[str, Callable[[], type[Spec]]], overrides: Iterable[str] = ()) -> Loaded:
    """The same, with the document, so that what is met later can be told with its line."""
    document = read_yaml(path, overrides)
    kind = document.data.get("kind")
    if not isinstance(kind, str) or kind not in kinds:
        hint = nearest(str(kind), kinds) if kind is not None else ""
        message = f"{'missing' if kind is None else repr(kind)}; allowed: {', '.join(kinds)}{hint}"
        raise ConfigError([Problem(document.locate(("kind",)), "kind", message)])
    return Loaded(kind, validate(document, kinds[kind]()), document)


def _problems(error: ValidationError, document: Document, model: type[Spec]) -> list[Problem]:
    found: dict[tuple[Path_, str], Problem] = {}
    details = error.errors(include_url=False)
    for detail in details:
        if detail["type"] == "too_short" and any(_within(other["loc"], detail["loc"]) for other in details):
            continue  # pydantic counts wrong items as absent; they are told already
        names_key = detail["type"] in ("extra_forbidden", "missing")
        path, models = _walk(detail["loc"], document.data, model, names_key)
        message = detail["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
        if detail["type"] == "extra_forbidden":
            allowed = sorted({name for each in models for name in each.model_fields})
            message = f"unknown key; allowed here: {', '.join(allowed)}{nearest(str(path[-1]), allowed)}"
        elif detail["type"] == "missing":
            message = "is required and missing"
        elif not isinstance(detail["input"], (dict, list, BaseModel)):
            message = f"{message[0].lower()}{message[1:]} (it is {_brief(detail['input'])})"
        found.setdefault((path, message), Problem(document.locate(path), dotted(path), message))
    return list(found.values())


def _brief(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _within(inner: Path_, outer: Path_) -> bool:
    return len(inner) > len(outer) and inner[: len(outer)] == outer


def _walk(loc: Path_, data: Any, model: type[Spec], names_key: bool) -> tuple[Path_, list[type[BaseModel]]]:
    """Follow pydantic's `loc` through the data, leaving out the union tags that pydantic adds.

    `names_key` says that the last part of `loc` is a key even if it is not in the data (a missing key).
    Returns the path as it stands in the file, and the models that could hold the last key.
    """
    path: Path_ = ()
    candidates: list[Any] = [model]
    holders: list[type[BaseModel]] = [model]
    for position, part in enumerate(loc):
        last = position == len(loc) - 1
        present = (isinstance(data, dict) and part in data) or (
            isinstance(data, list) and isinstance(part, int) and part < len(data)
        )
        if not present and not (last and names_key):
            continue  # a union tag or a validator's name: not a key of the file
        holders = [each for each in candidates if isinstance(each, type) and issubclass(each, BaseModel)]
        path = (*path, part)
        candidates = [inner for each in candidates for inner in _children(each, part)]
        data = data[part] if present else None
    return path, holders


def _children(kind: Any, part: str | int) -> list[Any]:
    """The types that may stand at key or index `part` of a value of type `kind`, unions taken apart."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        info = kind.model_fields.get(str(part))
        return _apart(info.annotation) if info else []
    arguments = typing.get_args(kind)
    return _apart(arguments[-1] if arguments[-1] is not Ellipsis else arguments[0]) if arguments else []


def _apart(kind: Any) -> list[Any]:
    origin = typing.get_origin(kind)
    if origin is Annotated:
        return _apart(typing.get_args(kind)[0])
    if origin in (typing.Union, types.UnionType):
        return [inner for each in typing.get_args(kind) for inner in _apart(each)]
    return [kind]
