"""`mixture.json` as records, for which Megatron's builder writes the token files.

Covers mixtures.reading.manifest.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from infra.artifacts.records import to_json
from infra.errors import ArtifactError
from mixtures.reading.manifest import MixtureManifest
from tests.helpers.token_mixtures import small_mixture


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The manifest of a small mixture."""
    return small_mixture(tmp_path / "m") / "mixture.json"


def _change(path: Path, **changes: Any) -> None:
    """Change keys of the manifest's first component; None takes one out."""
    manifest = json.loads(path.read_text())
    record = manifest["components"][0]
    for key, value in changes.items():
        record |= {key: value}
        if value is None:
            del record[key]
    path.write_text(json.dumps(manifest))


def test_a_manifest_is_read_and_written_as_it_was(path: Path) -> None:
    assert to_json(MixtureManifest.from_json(path)) == json.loads(path.read_text())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"risk_histogram": None}, r"components\.0\.risk_histogram: missing; build the mixture again"),
        ({"risk_histogram": [0] * 255}, r"components\.0\.risk_histogram: .* at least 256 items"),
        ({"risk_histogram": [0] * 256}, r"components\.0: .*risk_histogram counts 0 tokens of "),
        ({"tokens": "12"}, r"components\.0\.tokens: input should be a valid integer"),
        ({"held_out": {}}, r"components\.0\.held_out\.tokens: missing; components\.0\.held_out\.documents: missing"),
    ],
)
def test_what_is_missing_or_wrong_in_it_is_named(path: Path, changes: dict[str, Any], message: str) -> None:
    _change(path, **changes)
    with pytest.raises(ArtifactError, match=r"mixture\.json: " + message):
        MixtureManifest.from_json(path)


def test_the_format_of_another_hormesis_is_told_before_what_it_lacks(path: Path) -> None:
    path.write_text('{"format": 9}')
    with pytest.raises(ArtifactError, match="mixture format 9, this hormesis reads 1; build the mixture again"):
        MixtureManifest.from_json(path)
