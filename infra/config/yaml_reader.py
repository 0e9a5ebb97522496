"""Reading YAML as plain data: safely, whatever stands in it, with one answer, and soon."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from infra.config.document import Path_, YamlDocument
from infra.config.extends import extended
from infra.errors import ConfigError, InputError, Problem

_BYTES = 512 << 10  # of a file; ruamel reads about 200 kB a second
_VALUES = 60_000  # in a file, those that aliases repeat counted each time
_DEPTH = 100  # of nested mappings and lists
_BITS = 63  # of a whole number
_INDEX_DIGITS = 9  # of a list's index on the command line
_STANDARD = "tag:yaml.org,2002:"


def read_yaml(path: Path, overrides: Iterable[str] = ()) -> YamlDocument:
    """Read a YAML mapping safely, with what it `extends`, then apply `a.b=c` overrides. Raises InputError or
    ConfigError.
    """
    document = extended(_read(path), _read)
    for override in overrides:
        apply_override(document, override)
    return document


def apply_override(document: YamlDocument, override: str) -> None:
    """Set one key of a document to what `a.b=c` says. Raises ConfigError."""
    key, sign, text = override.partition("=")
    if not sign or not key:
        raise _of_override(override, "write it as --set key.key=value")
    value = yaml_value(text)
    path: Path_ = tuple(int(segment) if _is_index(segment) else segment for segment in key.split("."))
    target: Any = document.data
    for segment, following in itertools.pairwise(path):
        if isinstance(target, dict):
            target = target.setdefault(segment, [] if isinstance(following, int) else {})
        elif isinstance(target, list) and isinstance(segment, int) and segment < len(target):
            target = target[segment]
        else:
            raise _of_override(override, f"there is nothing at {segment!r}")
    last = path[-1]
    if not (isinstance(target, dict) or (isinstance(target, list) and isinstance(last, int) and last < len(target))):
        raise _of_override(override, f"there is nothing at {last!r}")
    target[last] = value  # type: ignore[index]
    for known in [known for known in document.where if known[: len(path)] == path]:
        del document.where[known]  # lines of what was replaced
    document.where[path] = f"--set {override}"


def yaml_value(text: str) -> Any:
    """The value that a piece of YAML on the command line says. Raises ConfigError."""
    try:
        return _Reader(Path("--set"), text).document().data if text.strip() else None
    except ConfigError as error:
        raise _of_override(text, f"the value {text!r} is not valid YAML: {error.problems[0].message}") from None


def _of_override(override: str, message: str) -> ConfigError:
    return ConfigError([Problem("--set", override, message)])


def _is_index(segment: str) -> bool:
    return segment.isascii() and segment.isdigit() and len(segment) <= _INDEX_DIGITS


def _read(path: Path) -> YamlDocument:
    """One YAML file as it stands."""
    document = _Reader(path, _text_of(path)).document()
    if not isinstance(document.data, dict) or not document.data:
        raise ConfigError([Problem(f"{path}:1", "", "a hormesis file is a mapping whose first line says `kind: …`")])
    return document


def _text_of(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            data = stream.read(_BYTES + 1)
        text = data[:_BYTES].decode() if len(data) <= _BYTES else None
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:  # UnicodeDecodeError and a NUL in the path are ValueErrors
        raise InputError(f"{path}: cannot be read as UTF-8 text: {error}") from None
    if text is None:
        raise InputError(f"{path}: larger than {_BYTES >> 10} kB; a configuration names data, it does not hold them")
    return text


def _counting_composer() -> Any:
    """ruamel's composer, which stops as soon as there is too much of something."""
    from ruamel.yaml.composer import Composer, ComposerError

    class Counting(Composer):
        warn_double_anchors = False
        nodes = nested = 0

        def compose_node(self, parent: Any, index: Any) -> Any:
            self.nodes, self.nested = self.nodes + 1, self.nested + 1
            if self.nodes > _VALUES or self.nested > _DEPTH:
                problem = f"more than {_VALUES:,} values" if self.nodes > _VALUES else f"nested more than {_DEPTH} deep"
                raise ComposerError(None, None, problem, self.parser.peek_event().start_mark)
            node = super().compose_node(parent, index)
            self.nested -= 1
            return node

    return Counting


class _Reader:
    """Turns one text into a Document.

    The tree of nodes is walked here rather than by ruamel's constructors: nodes know their lines, an alias costs
    nothing until it is followed, and nothing but plain values can come out.
    """

    def __init__(self, path: Path, text: str) -> None:
        from ruamel.yaml import YAML

        self._yaml = YAML(typ="safe", pure=True)
        self._yaml.Composer = _counting_composer()
        self._path, self._text, self._values = path, text, 0
        self._result = YamlDocument(path, {})

    def document(self) -> YamlDocument:
        """The text as plain data. Raises ConfigError."""
        from ruamel.yaml.error import MarkedYAMLError, YAMLError

        try:
            root = self._yaml.compose(io.StringIO(self._text))
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            raise self._wrong(mark, f"not valid YAML: {error.problem or error.context}") from None
        except (YAMLError, ValueError) as error:  # ValueError: an escape that is no character
            raise self._wrong(None, f"not valid YAML: {str(error).splitlines()[0]}") from None
        self._result.data = {} if root is None else self._value(root, (), ())
        return self._result

    def _value(self, node: Any, path: Path_, above: tuple[Any, ...]) -> Any:
        """The value of a node that stands at `path`, inside the nodes `above`."""
        from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode

        self._values += 1
        if self._values > _VALUES:
            raise self._wrong(node.start_mark, f"more than {_VALUES:,} values, those repeated by aliases counted")
        if any(node is outer for outer in above):
            raise self._wrong(node.start_mark, "an alias inside what it stands for: the nesting has no end")
        if len(above) > _DEPTH:
            raise self._wrong(node.start_mark, f"nested more than {_DEPTH} deep")
        if isinstance(node, ScalarNode):
            return self._scalar(node)
        inside = (*above, node)
        if isinstance(node, SequenceNode) and node.tag == f"{_STANDARD}seq":
            return [self._item(value, (*path, index), inside) for index, value in enumerate(node.value)]
        if isinstance(node, MappingNode) and node.tag == f"{_STANDARD}map":
            return self._mapping(node, path, inside)
        raise self._wrong(node.start_mark, f"the tag {node.tag.removeprefix(_STANDARD)} is none of a configuration's")

    def _item(self, node: Any, path: Path_, above: tuple[Any, ...], line: int | None = None) -> Any:
        self._result.where[path] = f"{self._path}:{(node.start_mark.line if line is None else line) + 1}"
        return self._value(node, path, above)

    def _mapping(self, node: Any, path: Path_, above: tuple[Any, ...]) -> dict[Any, Any]:
        explicit: dict[Any, Any] = {}
        merged: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag == f"{_STANDARD}merge":
                merged |= self._merged(value_node, path, above)
                continue
            key = self._key(key_node)
            if key in explicit:
                raise self._wrong(key_node.start_mark, f"not valid YAML: the key {key!r} stands twice")
            explicit[key] = self._item(value_node, (*path, key), above, key_node.start_mark.line)
        return {**{key: value for key, value in merged.items() if key not in explicit}, **explicit}

    def _merged(self, node: Any, path: Path_, above: tuple[Any, ...]) -> dict[Any, Any]:
        """What `<<: *a` or `<<: [*a, *b]` brings; of several, the first counts."""
        value = self._value(node, path, above)
        maps = value if isinstance(value, list) else [value]
        if not all(isinstance(mapping, dict) for mapping in maps):
            raise self._wrong(node.start_mark, "`<<` takes over mappings only")
        return {key: item for mapping in reversed(maps) for key, item in mapping.items()}

    def _key(self, node: Any) -> Any:
        from ruamel.yaml.nodes import ScalarNode

        if not isinstance(node, ScalarNode):
            raise self._wrong(node.start_mark, "not valid YAML: a key is a word or a number")
        return self._scalar(node)

    def _scalar(self, node: Any) -> Any:
        from ruamel.yaml.error import MarkedYAMLError

        try:
            value = self._yaml.constructor.construct_object(node)
            if isinstance(value, str):
                value.encode()
            elif isinstance(value, int) and value.bit_length() > _BITS:
                raise ValueError("beyond 64 bits")
        except MarkedYAMLError:
            message = f"the tag {node.tag.removeprefix(_STANDARD)} is none of a configuration's"
        except UnicodeEncodeError:
            message = "not valid YAML: half a character (a lone surrogate)"
        except ValueError:  # beyond 64 bits, more digits than Python reads, a date that is none
            message = f"{node.value[:20]}: not a number or date that can be used"
        else:
            return value
        raise self._wrong(node.start_mark, message)

    def _wrong(self, mark: Any, message: str) -> ConfigError:
        return ConfigError([Problem(f"{self._path}:{mark.line + 1 if mark else 1}", "", message)])
