"""Typed YAML: pydantic models, unknown keys refused with the nearest key, every problem at once with file:line."""

from __future__ import annotations

import difflib
import io
import itertools
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, ValidationInfo

from infra.errors import ConfigError, InputError, Problem
from infra.extends import Anchored, extended

_SCHEMES = ("hf:", "wheel:", "synthetic:")


class Spec(BaseModel):
    """Base of every YAML section: frozen, and a key that is not declared is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, protected_namespaces=())


def _absolute(value: object, info: ValidationInfo) -> object:
    base = value.folder if isinstance(value, Anchored) else (info.context or {}).get("base")
    if not isinstance(value, str) or base is None or "://" in value or value.startswith(_SCHEMES):
        return value
    return str((Path(base) / Path(value).expanduser()).resolve())


Location = Annotated[str, BeforeValidator(_absolute)]
"""A path or URL in YAML; relative paths are relative to the folder of the YAML file in which they stand."""


def portable(spec: BaseModel) -> dict[str, Any]:
    """A section as plain data in which every Location that is a path is cut down to its last part: what `lineage`
    shows and a fingerprint holds must not depend on where somebody keeps his files.
    """
    return {name: _portable(getattr(spec, name), info.annotation, info.metadata)
            for name, info in type(spec).model_fields.items()}  # fmt: skip


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
    found = difflib.get_close_matches(word, list(options), n=1, cutoff=0.5)
    return f'; did you mean "{found[0]}"?' if found else ""


Path_ = tuple["str | int", ...]


@dataclass
class Document:
    """A YAML file as plain data, with the line of every key and item (`--set` overrides carry their own text)."""

    path: Path
    data: dict[str, Any]
    where: dict[Path_, str] = field(default_factory=dict)

    def locate(self, path: Path_) -> str:
        """`file:line` of the longest known prefix of `path`."""
        for length in range(len(path), -1, -1):
            if found := self.where.get(path[:length]):
                return found
        return f"{self.path}:1"


def read_yaml(path: Path, overrides: Iterable[str] = ()) -> Document:
    """Read a YAML mapping safely, with what it `extends`, then apply `a.b=c` overrides. Raises InputError or
    ConfigError.
    """
    document = extended(_read(path), _read)
    for override in overrides:
        _apply(document, override)
    return document


def _read(path: Path) -> Document:
    """One YAML file as it stands."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as UTF-8 text: {error}") from None
    try:
        loaded = YAML(typ="rt", pure=True).load(text)  # the round-trip loader is safe: it builds no Python objects
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = f"not valid YAML: {error.problem or error.context}"
        raise ConfigError([Problem(f"{path}:{mark.line + 1 if mark else 1}", "", message)]) from None
    except YAMLError as error:
        raise ConfigError([Problem(f"{path}:1", "", f"not valid YAML: {str(error).splitlines()[0]}")]) from None
    document = Document(path, {})
    data = _plain(loaded, (), document)
    if not isinstance(data, dict):
        raise ConfigError([Problem(f"{path}:1", "", "a hormesis file is a mapping whose first line says `kind: …`")])
    document.data = data
    return document


def _plain(node: Any, path: Path_, document: Document) -> Any:
    """Turn ruamel's nodes into plain Python values and remember the line of each."""
    marks = getattr(node, "lc", None)  # line and column, which ruamel keeps on mappings and sequences
    if isinstance(node, dict):
        for key in node:
            line = marks.data[key][0] + 1 if marks and key in (marks.data or {}) else 1
            document.where[(*path, key)] = f"{document.path}:{line}"
        return {key: _plain(value, (*path, key), document) for key, value in node.items()}
    if isinstance(node, list):
        for index in range(len(node)):
            document.where[(*path, index)] = f"{document.path}:{marks.data[index][0] + 1 if marks else 1}"
        return [_plain(value, (*path, index), document) for index, value in enumerate(node)]
    return _scalar(node)


def _scalar(node: Any) -> Any:
    if isinstance(node, bool) or node is None:
        return node
    for plain in (int, float, str):  # ruamel's ScalarInt, ScalarFloat and ScalarString keep their source form
        if isinstance(node, plain):
            return plain(node)
    if type(node).__name__ == "ScalarBoolean":
        return bool(node)
    return node


def _apply(document: Document, override: str) -> None:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    key, sign, text = override.partition("=")
    if not sign or not key:
        raise ConfigError([Problem("--set", override, "write it as --set key.key=value")])
    try:
        value = YAML(typ="safe", pure=True).load(io.StringIO(text))
    except YAMLError:
        raise ConfigError([Problem("--set", override, f"the value {text!r} is not valid YAML")]) from None
    path: Path_ = tuple(int(part) if part.isdigit() else part for part in key.split("."))
    target: Any = document.data
    for part, following in itertools.pairwise(path):
        if isinstance(target, dict):
            target = target.setdefault(part, [] if isinstance(following, int) else {})
        elif isinstance(target, list) and isinstance(part, int) and part < len(target):
            target = target[part]
        else:
            raise ConfigError([Problem("--set", override, f"there is nothing at {part!r}")])
    last = path[-1]
    if not (isinstance(target, dict) or (isinstance(target, list) and isinstance(last, int) and last < len(target))):
        raise ConfigError([Problem("--set", override, f"there is nothing at {last!r}")])
    target[last] = value  # type: ignore[index]
    document.where[path] = f"--set {override}"


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
        _apply(document, setting)
    return validate(document, model)


def load_spec(
    path: Path, kinds: Mapping[str, Callable[[], type[Spec]]], overrides: Iterable[str] = ()
) -> tuple[str, Spec]:
    """Read `path` and check it against the model of its `kind`; returns (kind, spec)."""
    document = read_yaml(path, overrides)
    kind = document.data.get("kind")
    if not isinstance(kind, str) or kind not in kinds:
        hint = nearest(str(kind), kinds) if kind is not None else ""
        message = f"{'missing' if kind is None else repr(kind)}; allowed: {', '.join(kinds)}{hint}"
        raise ConfigError([Problem(document.locate(("kind",)), "kind", message)])
    return kind, validate(document, kinds[kind]())


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
            message = f"{message[0].lower()}{message[1:]} (it is {detail['input']!r})"
        found.setdefault((path, message), Problem(document.locate(path), _dotted(path), message))
    return list(found.values())


def _within(inner: Path_, outer: Path_) -> bool:
    return len(inner) > len(outer) and inner[: len(outer)] == outer


def _dotted(path: Path_) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")


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
