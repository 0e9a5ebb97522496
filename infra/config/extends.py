"""`extends:` in a YAML file: it is another file of its kind, and says only what differs.

Mappings are merged key by key, everything else is replaced, and `key: null` takes a key of the other file away. The
`name` is not handed down: the files are different runs. Paths of the other file stay relative to its own folder, and
problems in what it says are reported with its lines.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from infra.config.document import YamlDocument
from infra.errors import ConfigError, InputError, Problem
from infra.files.paths import absolute

EXTENDS = "extends"
_NOT_INHERITED = ("name", EXTENDS)
_LONGEST = 50  # files in a row


class Anchored(str):
    """A string from another file, which knows the folder that it is relative to if it should be a path."""

    folder: Path


def extended(document: YamlDocument, read: Callable[[Path], YamlDocument], seen: tuple[Path, ...] = ()) -> YamlDocument:
    """`document` with what it extends, and what that extends in turn, filled in. Raises ConfigError or InputError."""
    if EXTENDS not in document.data:
        return document
    path = _base_path(document, (*seen, document.path.resolve()))
    try:
        base = extended(read(path), read, (*seen, document.path.resolve()))
    except InputError as error:  # what cannot be read; what reads and is wrong has lines of its own
        raise _problem(document, str(error)) from None
    if base.data.get("kind") != document.data.get("kind"):
        kinds = f"kind {document.data.get('kind')!r} cannot extend kind {base.data.get('kind')!r}"
        raise _problem(document, f"{kinds} ({path}); both must be one kind")
    inherited = {key: anchored(value, path.parent) for key, value in base.data.items() if key not in _NOT_INHERITED}
    overriding = {key: value for key, value in document.data.items() if key != EXTENDS}
    return replace(document, data=_merged(inherited, overriding), where=base.where | document.where)


def _base_path(document: YamlDocument, seen: tuple[Path, ...]) -> Path:
    value = document.data[EXTENDS]
    if not isinstance(value, str):
        raise _problem(document, f"name one file, relative to this one (it is {value!r})")
    try:
        path = absolute(value, document.path.parent)
        there = path.is_file()
    except (OSError, ValueError) as error:
        raise _problem(document, str(error)) from None
    if path in seen:
        circle = " -> ".join(file.name for file in (*seen[seen.index(path) :], path))
        raise _problem(document, f"{circle} is a circle")
    if len(seen) > _LONGEST:
        raise _problem(document, f"more than {_LONGEST} files that extend one another")
    if not there:
        raise _problem(document, f"{path}: no such file")
    return path


def _problem(document: YamlDocument, message: str) -> ConfigError:
    return ConfigError([Problem(document.locate((EXTENDS,)), EXTENDS, message)])


def _merged(base: dict[str, Any], overriding: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in overriding.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict) and isinstance(base.get(key), dict):
            merged[key] = _merged(base[key], value)
        else:
            merged[key] = value
    return merged


def anchored(value: Any, folder: Path) -> Any:
    """The same data with every string marked as coming from `folder`; one that is marked already keeps its own."""
    if isinstance(value, dict):
        return {key: anchored(item, folder) for key, item in value.items()}
    if isinstance(value, list):
        return [anchored(item, folder) for item in value]
    if not isinstance(value, str) or isinstance(value, Anchored):
        return value
    text = Anchored(value)
    text.folder = folder
    return text
