"""A flipped byte in a model's artifact is one message, not another score under the same fingerprint.

Covers curation.models.calibration, curation.models.fasttext, curation.models.linear, curation.models.student and
curation.token_models.trained.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from curation.filter.score_lines import prepare
from curation.models.calibration import read_calibration
from curation.models.fasttext import load_fasttext
from curation.models.linear import linear_digests
from curation.models.student import student_digests
from infra.artifacts.artifact import describe_files, now, read_artifact, write_manifest
from infra.atomic import write_json
from infra.errors import ArtifactError
from tests.helpers.taggers import train

FILES = {
    "calibration": ("calibration.json",),
    "distillation": ("weights.npy", "rarity.npy", "model.json"),
    "fasttext": ("model.bin",),
    "linear": ("linear.safetensors", "model.json"),
}
READERS: dict[str, Callable[[Path], object]] = {
    "calibration": lambda folder: read_calibration(folder, "profanity", {"weights"}),
    "distillation": lambda folder: student_digests(str(folder)),
    "fasttext": lambda folder: load_fasttext(folder / "model.bin"),
    "linear": lambda folder: linear_digests(str(folder)),
}


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in FILES.items() for name in names])
def test_a_flipped_byte_of_a_model_is_noticed_where_it_is_read(kind: str, name: str, tmp_path: Path) -> None:
    folder = tmp_path / kind
    folder.mkdir()
    for file in FILES[kind]:
        (folder / file).write_bytes(b"what a model holds")
    about = {"kind": kind, "version": 1, "fingerprint": "f" * 64, "started": now()}
    write_manifest(folder, describe_files(folder), config={}, inputs={}, counts={}, notes=[], **about)
    flip(folder / name)
    with pytest.raises(ArtifactError, match=rf"{name}: content differs from its checksum, so the {kind} artifact"):
        READERS[kind](folder)


def test_a_calibration_without_its_curves_says_which_key_is_missing_in_which_file(tmp_path: Path) -> None:
    write_json(tmp_path / "calibration.json", {"scorer": "profanity", "weights": 1})
    about = {"kind": "calibration", "version": 1, "fingerprint": "f" * 64, "started": now()}
    write_manifest(tmp_path, describe_files(tmp_path), config={}, inputs={}, counts={}, notes=[], **about)
    message = r"calibration\.json: weights: input should be a valid string; attributes: missing; run its stage again"
    with pytest.raises(ArtifactError, match=message):
        read_calibration(tmp_path, "profanity", {"weights"})


def test_a_flipped_byte_of_a_tagger_is_noticed_by_score(tmp_path: Path) -> None:
    folder = train(tmp_path).path
    for name in read_artifact(folder).files:
        whole = (folder / name).read_bytes()
        flip(folder / name)
        with pytest.raises(ArtifactError, match=rf"{name}: content differs from its checksum, so the tagger artifact"):
            prepare(f"tagger:{folder}", False, False, "words", None, 200)
        (folder / name).write_bytes(whole)
