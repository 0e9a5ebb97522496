"""The YAML that a result was asked for with, kept beside it so that it can be asked for again with a change.

It names folders of this machine, so it is a dot file: no part of an artifact, and not taken along when that is copied.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from infra.atomic import write_text
from infra.config.document import Path_, YamlDocument
from infra.config.extends import Anchored, anchored
from infra.errors import InputError

ASKED_FILE = ".asked.json"

_asked: ContextVar[YamlDocument | None] = ContextVar("_asked", default=None)


@contextmanager
def asking(document: YamlDocument) -> Iterator[None]:
    """Inside the block, `keep_asked` keeps this document."""
    before = _asked.set(document)
    try:
        yield
    finally:
        _asked.reset(before)


def keep_asked(folder: Path) -> None:
    """Keep the document of the enclosing `asking` in `folder`; nothing where there is none, or it is there already."""
    if (document := _asked.get()) is None:
        return
    record = {
        "file": str(document.path.resolve()),
        "data": document.data,
        "anchored": [[list(path), str(value.folder)] for path, value in _anchored(document.data)],
    }
    text = json.dumps(record, indent=2, ensure_ascii=False, default=str) + "\n"  # a date is text again
    file = folder / ASKED_FILE
    if not file.is_file() or file.read_text(encoding="utf-8") != text:
        write_text(file, text)


def read_asked(folder: Path) -> YamlDocument:
    """The document that is kept in `folder`. Raises InputError where there is none."""
    try:
        record = json.loads((folder / ASKED_FILE).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(
            f"{folder}: does not say what it was made from (there is no {ASKED_FILE}: it is a copy, or older than this "
            "hormesis); `hormesis run` with its YAML makes nothing anew and writes it"
        ) from None
    except ValueError as error:
        raise InputError(f"{folder / ASKED_FILE}: not valid JSON ({error}); `hormesis run` writes it anew") from None
    data = record["data"]
    for path, base in record["anchored"]:
        holder = data
        for segment in path[:-1]:
            holder = holder[segment]
        holder[path[-1]] = anchored(holder[path[-1]], Path(base))
    return YamlDocument(Path(record["file"]), data)


def _anchored(data: Any, path: Path_ = ()) -> Iterator[tuple[Path_, Anchored]]:
    if isinstance(data, dict | list):
        for key, value in data.items() if isinstance(data, dict) else enumerate(data):
            yield from _anchored(value, (*path, key))
    elif isinstance(data, Anchored):
        yield path, data
