"""JSON files as records: what is missing or of the wrong type is named with its file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from infra.artifacts.records import from_json, read_record
from infra.errors import ArtifactError, InputError


@dataclass(frozen=True)
class Component:
    name: str
    tokens: int


@dataclass(frozen=True)
class Mixture:
    components: tuple[Component, ...]
    shares: Mapping[str, float]
    note: str | None = None


FILE = Path("mixture.json")


def test_nested_records_are_read_and_other_keys_left_out() -> None:
    text = '{"components": [{"name": "clean", "tokens": 3, "sha256": "f"}], "shares": {"clean": 1}, "seed": 0}'
    assert from_json(Mixture, text, FILE) == Mixture((Component("clean", 3),), {"clean": 1.0})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"components": [{"name": "clean"}], "shares": {}}', r"^mixture.json: components.0.tokens: missing"),
        ('{"components": []}', r"^mixture.json: shares: missing"),
        ('{"components": [{"name": "clean", "tokens": "3"}], "shares": {}}', r"components.0.tokens: .*valid integer"),
        ('{"components": [], "shares": {"clean": "all"}}', r"shares.clean: .*valid number"),
        ("[1]", r"mixture.json: the whole: "),
        ('{"components": ', r"mixture.json: the whole: Invalid JSON"),
    ],
)
def test_first_thing_that_is_wrong_is_named_with_key_and_file(text: str, message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        from_json(Mixture, text, FILE)


def test_missing_file_is_the_readers_mistake(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"mixture\.json: no such file"):
        read_record(Mixture, tmp_path / "mixture.json")
