"""Where a model is and what it is made of, found without loading it (and without importing torch)."""

from __future__ import annotations

from pathlib import Path

from infra.artifacts.artifact import fingerprint_of, is_artifact, read_artifact
from infra.artifacts.fingerprint import digest
from infra.artifacts.inputs import input_digests, open_input
from infra.errors import InputError
from pretrain.files import CONFIG, MODEL

HUB = "hf:"


def weights_folder(location: str) -> str:
    """The Hugging Face folder or hub name that `location` stands for: a pretrain artifact holds one in `hf/`."""
    if location.startswith(HUB):
        return location.removeprefix(HUB)
    if is_artifact(Path(location)):
        return str(read_artifact(location, "pretrain").path / MODEL)
    return location


def check_weights(location: str) -> None:
    """Compare the weights of a pretrain artifact with their checksums. Raises ArtifactError."""
    if not location.startswith(HUB) and is_artifact(Path(location)):
        open_input(location, "pretrain", below=f"{MODEL}/")


def fingerprint(location: str) -> str:
    """Fingerprint of a pretrain artifact, of a Hugging Face folder's files, or of a hub name (`hf:org/model`).

    Raises InputError where there is no model.
    """
    if location.startswith(HUB):
        return digest(["hub", location])
    path = Path(location)
    if is_artifact(path):
        return fingerprint_of(path, "pretrain")
    if not (path / CONFIG).is_file():
        raise InputError(
            f"{location}: no {CONFIG} here; a model is a pretrain artifact, a Hugging Face folder, or hf:org/model"
        )
    files = sorted(file for file in path.iterdir() if file.suffix in (".json", ".safetensors"))
    return digest([[file.name, sha256] for file, sha256 in zip(files, input_digests(files), strict=True)])
