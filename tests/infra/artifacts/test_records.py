"""JSON files of artifacts as frozen dataclasses."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from infra.artifacts.records import from_json, read_record, to_json
from infra.errors import ArtifactError


@dataclass(frozen=True)
class Inner:
    """A record in a record."""

    size: int


@dataclass(frozen=True)
class Outer:
    """Keys of every kind."""

    name: str | None
    sizes: tuple[int, ...]
    inner: dict[str, Inner]
    later: str | None = None


WHOLE = Outer(None, (1, 2), {"a": Inner(3)})


def test_what_is_written_is_read_and_a_key_that_came_later_stands_there_only_where_it_is_used():
    assert to_json(WHOLE) == {"name": None, "sizes": [1, 2], "inner": {"a": {"size": 3}}}
    assert from_json(Outer, json.dumps(to_json(WHOLE)), "f.json") == WHOLE
    later = Outer("n", (), {}, "here")
    assert from_json(Outer, json.dumps(to_json(later) | {"unknown": 1}), "f.json") == later


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sizes": None}, r"f\.json: sizes: input should be"),
        ({"sizes": [1, "2"]}, r"f\.json: sizes\.1: input should be a valid integer"),
        ({"inner": {"a": {}}}, r"f\.json: inner\.a\.size: missing; build it again"),
        ({"inner": []}, r"f\.json: inner: input should be"),
    ],
)
def test_a_missing_key_or_a_wrong_type_is_named_with_its_file(change, message):
    with pytest.raises(ArtifactError, match=message):
        from_json(Outer, json.dumps(to_json(WHOLE) | change), "f.json", remedy="build it again")


def test_a_file_that_is_missing_or_no_json_is_an_error(tmp_path):
    with pytest.raises(ArtifactError, match=r"r\.json: missing"):
        read_record(Outer, tmp_path / "r.json")
    (tmp_path / "r.json").write_text('{"name": ')
    with pytest.raises(ArtifactError, match=r"r\.json: invalid JSON"):
        read_record(Outer, tmp_path / "r.json")
