"""Where in a YAML file a refusal comes from that was met after the file itself was found right.

A stage knows paths and keys, not lines: its message begins with the key (`tokenizer.file: …`) or with what stands there
(`/data/a.jsonl: no such file`). Here the line is looked up and put in front.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from infra.config.document import Path_, YamlDocument
from infra.config.extends import Anchored
from infra.errors import AmountError, ArtifactError, ConfigError, InputError, UnavailableError
from infra.files.paths import absolute

_PLACED = (InputError, AmountError, UnavailableError, ArtifactError)


@contextmanager
def placing(document: YamlDocument) -> Iterator[None]:
    """Put `file:line: key:` before every line of a refusal inside the block, the file alone where no key is meant."""
    try:
        yield
    except ConfigError:
        raise
    except _PLACED as error:
        raise type(error)("\n".join(_placed(line, document) for line in str(error).splitlines())) from None


def _placed(message: str, document: YamlDocument) -> str:
    named = _key_in_front(message, document)
    path = named or _value_in(message, document)
    if path is None:
        return f"{document.path}: {message}"
    return f"{document.locate(path)}: {message if named else f'{dotted(path)}: {message}'}"


def _key_in_front(message: str, document: YamlDocument) -> Path_ | None:
    """The key that the message begins with: the whole way to it with dots, or (of a section in a study) its end."""
    name, colon, _ = message.partition(": ")
    ends = [path for path in document.where if path and colon and f".{dotted(path)}".endswith(f".{name}")]
    return min(ends, key=len, default=None)


def _value_in(message: str, document: YamlDocument) -> Path_ | None:
    """Where that stands which the message begins with; the longest, and the first of equal ones."""
    matches = [(len(text), path) for path, value in _strings(document.data) for text in _spellings(value, document)
               if message.startswith((f"{text}: ", f"{text}/"))]  # fmt: skip
    return max(matches, key=lambda match: match[0])[1] if matches else None


def _strings(data: Any, path: Path_ = ()) -> Iterator[tuple[Path_, str]]:
    if isinstance(data, dict | list):
        for key, value in data.items() if isinstance(data, dict) else enumerate(data):
            yield from _strings(value, (*path, key))
    elif isinstance(data, str) and data:
        yield path, data


def _spellings(value: str, document: YamlDocument) -> Iterator[str]:
    """How a message may write a value: as it stands, or as the path that it means."""
    yield value
    if "://" not in value:
        with suppress(OSError, ValueError):
            folder = value.folder if isinstance(value, Anchored) else document.path.resolve().parent
            yield str(absolute(value, folder))


def dotted(path: Path_) -> str:
    """`components.clean.tokens`, `seeds[0]`; one line, whatever stands in a key."""
    name = "".join(f"[{segment}]" if isinstance(segment, int) else f".{segment}" for segment in path).lstrip(".")
    return name.replace("\n", "\\n")
