"""Where a model is and what it is made of, found without loading it (and without importing torch)."""

from __future__ import annotations

import json
from pathlib import Path

from infra.artifacts.artifact import fingerprint_of, is_artifact, read_artifact
from infra.artifacts.fingerprint import digest
from infra.artifacts.inputs import input_digests, open_input
from infra.errors import InputError
from pretrain.files import CONFIG, MODEL

HUB = "hf:"
ADAPTER_CONFIG = "adapter_config.json"
MODEL_KINDS = ("pretrain", "checkpoint", "tune")
"""Kinds of artifact that are models: each holds a Hugging Face folder `hf/`."""


def weights_folder(location: str) -> str:
    """The Hugging Face folder or hub name that `location` stands for: a model's artifact holds one in `hf/`."""
    if location.startswith(HUB):
        return location.removeprefix(HUB)
    if is_artifact(Path(location)):
        return str(read_artifact(location, MODEL_KINDS).path / MODEL)
    return location


def check_weights(location: str) -> None:
    """Compare the weights of a model's artifact with their checksums. Raises ArtifactError."""
    if not location.startswith(HUB) and is_artifact(Path(location)):
        open_input(location, MODEL_KINDS, below=f"{MODEL}/")


def is_adapter(folder: str | Path) -> bool:
    """Whether the folder holds a PEFT adapter, alone or beside the weights that it belongs to."""
    return (Path(folder) / ADAPTER_CONFIG).is_file()


def adapter_base(folder: Path) -> str:
    """Location of the model that the adapter in `folder` belongs to: the folder itself, or what the adapter names.

    Raises InputError where it names none, or names another adapter.
    """
    if (folder / CONFIG).is_file():
        return str(folder)
    try:
        base = json.loads((folder / ADAPTER_CONFIG).read_bytes()).get("base_model_name_or_path")
    except (ValueError, AttributeError):
        raise InputError(f"{folder / ADAPTER_CONFIG}: not a JSON object") from None
    if not base or not isinstance(base, str):
        raise InputError(f"{folder / ADAPTER_CONFIG}: names no base model (base_model_name_or_path)")
    if not Path(base).is_dir():
        return HUB + base
    if not (Path(base) / CONFIG).is_file():
        raise InputError(f"{folder / ADAPTER_CONFIG}: its base model {base} has no {CONFIG}")
    return base


def fingerprint(location: str) -> str:
    """Fingerprint of an artifact that is a model, of a Hugging Face folder's files, or of a hub name (`hf:org/model`).

    That of an adapter without weights beside it covers its base model. Raises InputError where there is no model.
    """
    if location.startswith(HUB):
        return digest(["hub", location])
    path = Path(location)
    if is_artifact(path):
        return fingerprint_of(path, MODEL_KINDS)
    alone = is_adapter(path) and not (path / CONFIG).is_file()
    if not alone and not (path / CONFIG).is_file():
        raise InputError(
            f"{location}: no {CONFIG} here; a model is a pretrain or tune artifact, a Hugging Face folder, or "
            "hf:org/model"
        )
    files = sorted(file for file in path.iterdir() if file.suffix in (".json", ".safetensors"))
    content = [[file.name, sha256] for file, sha256 in zip(files, input_digests(files), strict=True)]
    return digest([*content, ["base", fingerprint(adapter_base(path))]] if alone else content)
