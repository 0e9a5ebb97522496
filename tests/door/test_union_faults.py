"""Whatever is wrong inside a union of a YAML section is told once, at its own line and key, with what only the member
that is meant may say. The unions are found by walking the models of every kind, so a new one is under test as it comes.
"""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Discriminator, Field, Tag, create_model
from pydantic.fields import FieldInfo

import hormesis
from infra.config.spec import Spec, load_spec
from infra.errors import ConfigError

TRANSFORMERS = {"name": "transformers", "model": "a/b"}
NEEDED: dict[str, dict[str, Any]] = {  # what a type alone does not tell
    "AttributionSpec": {"scorer": TRANSFORMERS},
    "EnsembleSpec": {"scorers": [{"name": "profanity"}, TRANSFORMERS]},
    "ForumSpec": {"path": "synthetic:forum"},
    "WhereSpec": {"keep": "toxicity >= 0.5"},
    "WordListSpec": {"words": ["x"]},
}


@dataclass
class Union_:
    """A union as it stands at a key: `key` tells its members apart, or a function (`by_function`), or nothing."""

    where: str
    annotation: Any
    members: list[Any]
    key: str | None = None
    by_function: bool = False
    tags: dict[str, Any] = field(default_factory=dict)


def bare(kind: Any, notes: tuple[Any, ...] = ()) -> tuple[Any, tuple[Any, ...]]:
    while True:
        if typing.get_origin(kind) is Annotated:
            kind, *more = typing.get_args(kind)
            notes += tuple(more)
        elif is_union(kind) and len(members := [one for one in typing.get_args(kind) if one is not type(None)]) == 1:
            kind = members[0]
        else:
            return kind, notes


def is_union(kind: Any) -> bool:
    return typing.get_origin(kind) in (typing.Union, types.UnionType)


def is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def unions_below(kind: Any, where: str, seen: set[Any]) -> Iterator[Union_]:
    annotation = kind
    kind, notes = bare(kind)
    if is_model(kind):
        if kind not in seen:
            seen.add(kind)
            for name, info in kind.model_fields.items():
                by = (Field(discriminator=info.discriminator),) if info.discriminator else ()
                inner = Annotated[info.annotation, *by, *info.metadata, name]
                yield from unions_below(inner, f"{kind.__name__}.{name}", seen)
        return
    if is_union(kind):
        members = [member for member in typing.get_args(kind) if member is not type(None)]
        yield union_of(where, annotation, notes, members)
    for argument in typing.get_args(kind) if typing.get_origin(kind) is not Literal else ():
        yield from unions_below(argument, where, seen)


def union_of(where: str, annotation: Any, notes: tuple[Any, ...], members: list[Any]) -> Union_:
    by = [note.discriminator for note in notes if isinstance(note, (Discriminator, FieldInfo)) and note.discriminator]
    by = [one.discriminator if isinstance(one, Discriminator) else one for one in by]
    union = Union_(where, annotation, members)
    if by and isinstance(by[0], str):
        union.key = by[0]
        union.tags = {typing.get_args(one.model_fields[by[0]].annotation)[0]: one for one in map(plain, members)}
    elif by:
        union.by_function = True
        for member in members:
            one, tags = bare(member)
            union.tags[next(note.tag for note in tags if isinstance(note, Tag))] = one
    return union


def plain(member: Any) -> Any:
    return bare(member)[0]


UNIONS = {
    union.where: union
    for kind in hormesis.KINDS.names()
    for union in unions_below(hormesis.KINDS.get(kind).spec, kind, set())
}
ALIKE = {repr(plain(union.annotation)): union for union in reversed(UNIONS.values())}  # `scorer:` stands at many keys
MEMBERS = [
    pytest.param(union, tag, member, id=f"{union.where}-{tag}")
    for union in ALIKE.values()
    for tag, member in union.tags.items()
    if is_model(member)
]


def right(kind: Any) -> Any:
    """A value that the type allows."""
    kind, _ = bare(kind)
    if is_model(kind):
        fixed = NEEDED.get(kind.__name__, {})
        needed = {name: info for name, info in kind.model_fields.items() if name not in fixed}
        return fixed | {
            name: right(info.annotation)
            for name, info in needed.items()
            if info.is_required() or (name in ("name", "step") and typing.get_origin(info.annotation) is Literal)
        }
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return arguments[0]
    if origin is dict:
        return {"x": right(arguments[1])}
    if origin is tuple:
        return [right(argument) for argument in arguments if argument is not Ellipsis]
    if is_union(kind):
        return right(arguments[0])
    return {str: "x", int: 1000, float: 0.5, bool: True}[kind]


def faults(tmp_path, annotation: Any, section: Any, where: str) -> list[tuple[str, str, str]]:
    """Line, key and message of each problem of a section, which stands alone, in a list or under a name."""
    shape = {"section": annotation, "list": tuple[annotation, ...], "names": dict[str, annotation]}[where]
    model = create_model("Demo", __base__=Spec, section=(shape, ...))
    head = {"section": "section:", "list": "section:\n -", "names": "section:\n mixture:"}[where]
    if isinstance(section, dict):
        lines = [f"   {json.dumps(key)}: {json.dumps(value)}" for key, value in section.items()]
        text = f"kind: demo\n{head}\n" + "\n".join(lines) + "\n"
    else:
        text = f"kind: demo\n{head} {json.dumps(section)}\n"
    file = tmp_path / "demo.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_spec(file, {"demo": lambda: model})
    above = {"section": "section", "list": "section[0]", "names": "section.mixture"}[where]
    assert all(problem.key.startswith(above) for problem in caught.value.problems)
    rows = text.splitlines()
    return [(rows[int(problem.where.rpartition(":")[2]) - 1].strip(), problem.key.removeprefix(above), problem.message)
            for problem in caught.value.problems]  # fmt: skip


FORMS = pytest.mark.parametrize("where", ["section", "list", "names"])


def test_the_walk_finds_the_unions_there_are():
    assert {"CurationSpec.steps", "PosttrainSpec.method", "PosttrainSpec.labelled", "PretrainSpec.launcher",
            "ComponentSpec.order", "ComponentSpec.tokens", "EnsembleSpec.scorers"} <= UNIONS.keys()  # fmt: skip
    assert len(MEMBERS) >= 50


@pytest.mark.parametrize("union", UNIONS.values(), ids=UNIONS.keys())
def test_sections_in_a_union_are_told_apart_by_a_key_or_a_function(union):
    """pydantic alone would try all members and tell what each of them has against a section."""
    if any(is_model(plain(member)) or typing.get_origin(plain(member)) in (tuple, dict) for member in union.members):
        assert union.key or union.by_function


@FORMS
@pytest.mark.parametrize(("union", "tag", "member"), MEMBERS)
def test_a_wrong_key_is_told_with_the_keys_of_its_member_alone(tmp_path, union, tag, member, where):
    ((line, key, message),) = faults(tmp_path, union.annotation, right(member) | {"zzz": 1}, where)
    assert (line, key) == ('"zzz": 1', ".zzz")
    assert message == f"unknown key; allowed here: {', '.join(sorted(member.model_fields))}"


@pytest.mark.parametrize(("union", "tag", "member"), MEMBERS)
def test_a_value_of_a_wrong_type_is_told_at_its_key(tmp_path, union, tag, member):
    kinds = {name: plain(info.annotation) for name, info in member.model_fields.items()}
    scalar = [name for name, kind in kinds.items() if kind in (str, int, float, bool) and name not in ("name", "step")]
    for name in scalar[:3]:
        told = faults(tmp_path, union.annotation, right(member) | {name: [[]]}, "section")
        if union.by_function and name == "path":  # the key that tells
            assert len(told) == 1
            continue
        ((line, key, _),) = told
        assert (line, key) == (f'"{name}": [[]]', f".{name}")


@FORMS
@pytest.mark.parametrize(("union", "tag", "member"), [param for param in MEMBERS if param.values[0].key])
def test_a_wrong_name_is_told_with_all_names_and_the_nearest(tmp_path, union, tag, member, where):
    wrong = f"{tag}x"
    ((line, key, message),) = faults(tmp_path, union.annotation, right(member) | {union.key: wrong}, where)
    assert (line, key) == (f'"{union.key}": "{wrong}"', f".{union.key}")
    names = ", ".join(union.tags)
    assert message == f'there is no "{wrong}"; there are: {names}; did you mean "{tag}"?'


@pytest.mark.parametrize("union", [union for union in UNIONS.values() if union.key], ids=lambda union: union.where)
def test_a_missing_name_is_told_with_all_names(tmp_path, union):
    ((_, key, message),) = faults(tmp_path, union.annotation, {"zzz": 1}, "section")
    assert key == f".{union.key}"
    assert message == f"is required and missing; there are: {', '.join(union.tags)}"


@FORMS
@pytest.mark.parametrize("union", UNIONS.values(), ids=UNIONS.keys())
def test_what_no_member_can_be_is_one_fault(tmp_path, union, where):
    sections = any(is_model(plain(member)) for member in union.members)
    wrong: Any = [[0]] if sections else {"zzz": 1}
    ((_, key, message),) = faults(tmp_path, union.annotation, wrong, where)
    assert key == ""
    assert message


def problems(tmp_path, text: str) -> list[str]:
    file = tmp_path / "demo.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        hormesis.load(file, None)
    return [str(problem).removeprefix(f"{tmp_path}/") for problem in caught.value.problems]


def test_a_tag_that_is_spelled_as_a_key_is_not_taken_for_it(tmp_path):
    text = "kind: posttrain\nmodel: m\nmethod: iti\nlabelled:\n  mixture: x\n  per_class: 3\n  unit: lines\n"
    assert sorted(problems(tmp_path, text)) == [
        "demo.yaml:6: labelled.per_class: input should be greater than or equal to 10 (it is 3)",
        "demo.yaml:7: labelled.unit: input should be 'line' or 'document' (it is 'lines'); did you mean \"line\"?",
    ]


def test_a_methods_wrong_key_is_compared_with_its_own_keys(tmp_path):
    text = "kind: posttrain\nmodel: m\nlabelled: {mixture: x}\nmethod:\n  name: iti\n  top_head: 4\n"
    assert problems(tmp_path, text) == [
        "demo.yaml:6: method.top_head: unknown key; allowed here: direction, folds, mean, mean_blocks, name, "
        'positions, top_heads; did you mean "top_heads"?'
    ]


def test_a_step_that_is_none_is_told_with_the_nearest(tmp_path):
    text = "kind: curation\ncorpora: {a: {sources: [{path: x.jsonl}]}}\nsteps:\n  - step: scroe\n"
    (told,) = problems(tmp_path, text)
    assert told.startswith('demo.yaml:4: steps[0].step: there is no "scroe"; there are: c4_quality, ')
    assert told.endswith('; did you mean "score"?')


def test_a_value_that_no_member_of_a_plain_union_takes_is_one_problem(tmp_path):
    text = (
        "kind: mixture\ncuration: c\nsequence_length: 8\ntokenizer: {hub: x}\n"
        "components:\n  a: {corpus: a, tokens: al}\n"
    )
    told = [one for one in problems(tmp_path, text) if ".tokens" in one]
    assert told == [
        "demo.yaml:6: components.a.tokens: input should be a valid integer or 'all' (it is 'al'); did you mean \"all\"?"
    ]
