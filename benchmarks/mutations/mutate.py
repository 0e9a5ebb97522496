"""Seeded mutations of a YAML file, on the level of its text and on the level of its values."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML

Lines = list[bytes]
Location = tuple["str | int", ...]

MARK = "the-mutated-value"
VALUES = (
    "null", ".nan", ".inf", "-.inf", "-1", "0", "-0.0", "1.5", "1e-320", "1e308", "1e999", "9" * 30, "9" * 5000,
    "9223372036854775807", "0x7fffffff", "0o17", "1_000_000_000_000", "true", "1:30", "2026-11-28", "2026-99-99",
    "''", "[]", "{}", "[[[[1]]]]", "[null]", "[[], {}]", "{a: {b: c}}", "{1: 2}", "{null: 1}", "[a, a]", "[1, 1.0]",
    "x" * 100_000, "'" + "ü" * 300 + "'", "../../x", "/dev/null", "/", ".", "..", "~nosuchuser/x", "'*'", "'['",
    '"a\\0b"', '"\\e[31mred"', '"\\ud800"', '"a\\nb"', "s3://", "'file://'", "'hf:'", "hf:nobody/nothing", "'wheel:'",
    "'wheel:no-such==1/a'", "'http://['", "http://127.0.0.1:9/a.jsonl", "ftp://127.0.0.1:9/a.jsonl", "zip://a::b",
    "synthetic:poems", "tagger:x", "&a [*a]", "&a {b: *a}", "*nobody", "!!python/object/apply:os.system [x]",
    "!!binary aGk=", "!!set {a, b}", "!!float x", "{<<: 1}", "{<<: [{a: 1}]}", ":100:", "💯", "café", "'{'", "'{0}'",
    "'('", "'a and'", "'__import__(1)'", "'" + "(" * 3000 + "'", "[" * 120 + "]" * 120, "[" * 3000,
)  # fmt: skip
"""What takes the place of a value, as it stands in YAML."""

BASES = (
    "~nosuchuser/x", '"\\0"', "'" + "a/" * 3000 + "b'", ".", "..", "none.yaml", "/dev/null", "1", "[a.yaml]", "{}",
    "null", "''", "'*.yaml'", "s3://b/a.yaml", "data/comments.jsonl.gz", "quickstart.yaml", "swarm.yaml",
    "mixture-dose-25.yaml",
)  # fmt: skip
"""What a file may be said to extend, beside itself."""

LOOK_ALIKES = {"a": "а", "e": "е", "o": "ο", ":": "：", "-": "–", " ": "\u00a0", '"': "“", "[": "［", "1": "１"}
BYTES = (b"\t", b"\0", b"\xff", b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"\x1b[2J", b"\r", b"{", b"}", b"[", b"&", b"*", b"!",
         b"|", b">", b"%", b"@", b"`", b"#", b"?", b"'", b'"', b": ", b"- ", b"---\n", b"...\n", b"<<: ")  # fmt: skip


class Mutation(NamedTuple):
    """The kind of a mutation, and the file that it made."""

    kind: str
    content: bytes


def mutated(file: Path, chance: random.Random) -> Mutation:
    """One mutation of `file`, on either level."""
    content = file.read_bytes()
    if chance.random() < 0.4:
        name = chance.choice(list(TEXT))
        return Mutation(name, TEXT[name](content, chance))
    name = chance.choice(list(VALUE))
    data = YAML(typ="safe", pure=True).load(content)
    return Mutation(name, VALUE[name](data, chance, file).encode("utf-8", "surrogatepass"))


def _on_a_line(change: Callable[[Lines, int, random.Random], None]) -> Callable[[bytes, random.Random], bytes]:
    def mutation(content: bytes, chance: random.Random) -> bytes:
        lines = content.splitlines(keepends=True)
        change(lines, chance.randrange(len(lines)), chance)
        return b"".join(lines)

    return mutation


def _repeat(lines: Lines, at: int, chance: random.Random) -> None:
    lines[at:at] = [lines[at]] * chance.choice((1, 1, 1000))


def _indent(lines: Lines, at: int, chance: random.Random) -> None:
    lines[at] = chance.choice((b" ", b"  ", b"      ", b"\t")) + lines[at]


def _dedent(lines: Lines, at: int, chance: random.Random) -> None:
    lines[at] = lines[at].lstrip(b" -" if chance.random() < 0.5 else b" ")


def _swap(lines: Lines, at: int, chance: random.Random) -> None:
    other = chance.randrange(len(lines))
    lines[at], lines[other] = lines[other], lines[at]


def _delete(lines: Lines, at: int, chance: random.Random) -> None:
    del lines[at : at + chance.choice((1, 1, 3))]


def _insert(content: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(content))
    return content[:at] + chance.choice(BYTES) * chance.choice((1, 1, 200)) + content[at:]


def _random_bytes(content: bytes, chance: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(chance.choice((1, 4, 20))):
        changed[chance.randrange(len(changed))] = chance.randrange(256)
    return bytes(changed)


def _truncated(content: bytes, chance: random.Random) -> bytes:
    return content[: chance.randrange(len(content))]


def _look_alikes(content: bytes, chance: random.Random) -> bytes:
    letter = chance.choice(list(LOOK_ALIKES))
    return re.sub(letter.replace("[", r"\["), lambda match: LOOK_ALIKES[letter] if chance.random() < 0.3 else match[0],
                  content.decode()).encode()  # fmt: skip


def _huge_number(content: bytes, chance: random.Random) -> bytes:
    numbers = list(re.finditer(rb"(?<=[ \[:])\d[\d_.e-]*", content))
    if not numbers:
        return content
    match = chance.choice(numbers)
    number = chance.choice(
        (b"9" * 18, b"9" * 19, b"9" * 400, b"9" * 5000, b"1e400", b"-" + match[0], match[0] + b"e300")
    )
    return content[: match.start()] + number + content[match.end() :]


TEXT: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "a line deleted": _on_a_line(_delete),
    "a line repeated": _on_a_line(_repeat),
    "a line indented": _on_a_line(_indent),
    "a line dedented": _on_a_line(_dedent),
    "lines exchanged": _on_a_line(_swap),
    "a sign put in": _insert,
    "random bytes": _random_bytes,
    "cut short": _truncated,
    "look-alike letters": _look_alikes,
    "a huge number": _huge_number,
}


def _locations(data: Any, at: Location = ()) -> list[Location]:
    """Every place of a value in nested data, the whole one left out."""
    inside = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [location for key, value in inside for location in ((*at, key), *_locations(value, (*at, key)))]


def _at(data: Any, location: Location) -> Any:
    for key in location:
        data = data[key]
    return data


def _written(data: Any, raw: str = "") -> str:
    """The data as YAML, with `raw` where the mark is."""
    stream = StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # `kind` stays first
    yaml.dump(data, stream)
    return stream.getvalue().replace(MARK, raw)


def _replaced(data: Any, chance: random.Random, _file: Path) -> str:
    location = chance.choice(_locations(data))
    _at(data, location[:-1])[location[-1]] = MARK
    return _written(data, chance.choice(VALUES))


def _unknown_key(data: Any, chance: random.Random, _file: Path) -> str:
    mappings = [data, *(value for location in _locations(data) if isinstance(value := _at(data, location), dict))]
    target = chance.choice(mappings)
    key = chance.choice([*target, "zzz"]) if target else "zzz"
    target[chance.choice((f"{key}s", str(key)[::-1], str(key).upper(), 3, True, None))] = target.get(key, 1)
    return _written(data)


def _odd_name(data: Any, chance: random.Random, _file: Path) -> str:
    mappings = [
        data,
        *(value for location in _locations(data) if isinstance(value := _at(data, location), dict) and value),
    ]
    target = chance.choice(mappings)
    key = chance.choice(list(target))
    target[MARK] = target.pop(key)
    return _written(data, chance.choice(VALUES))


def _repeated_key(data: Any, chance: random.Random, _file: Path) -> str:
    lines = _written(data).splitlines(keepends=True)
    keys = [number for number, line in enumerate(lines) if re.match(r"\s*[\w.]+: \S", line)]
    lines.insert(at := chance.choice(keys), lines[at])
    return "".join(lines)


def _exchanged(data: Any, chance: random.Random, _file: Path) -> str:
    one, other = chance.choices(_locations(data), k=2)
    value = _at(data, other)
    _at(data, one[:-1])[one[-1]] = MARK
    return _written(data).replace(MARK, _inline(value))


def _inline(value: Any) -> str:
    stream = StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style, yaml.width = True, 1_000_000
    yaml.dump(value, stream)
    return stream.getvalue().removesuffix("\n").removesuffix("\n...")


def _many(data: Any, chance: random.Random, _file: Path) -> str:
    location = chance.choice(_locations(data))
    _at(data, location[:-1])[location[-1]] = MARK
    item = chance.choice(("0", "a", "{}", "{path: a.jsonl}", "null"))
    return _written(data, "[" + ", ".join([item] * chance.choice((2, 20_000))) + "]")


def _deleted(data: Any, chance: random.Random, _file: Path) -> str:
    location = chance.choice(_locations(data))
    del _at(data, location[:-1])[location[-1]]
    return _written(data)


def _other_kind(data: Any, chance: random.Random, _file: Path) -> str:
    from hormesis import KINDS

    return _written({**data, "kind": chance.choice(KINDS.names())})


def _extends(data: Any, chance: random.Random, file: Path) -> str:
    name = chance.choice((*BASES, "mutated.yaml", file.name))
    return _written({**data, "extends": MARK}, name)


VALUE: dict[str, Callable[[Any, random.Random, Path], str]] = {
    "a value replaced": _replaced,
    "a value of another key": _exchanged,
    "an unknown key": _unknown_key,
    "an odd key": _odd_name,
    "a key repeated": _repeated_key,
    "a list of one thing": _many,
    "a key deleted": _deleted,
    "another kind": _other_kind,
    "extends": _extends,
}
