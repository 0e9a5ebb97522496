"""Where a model's files lie: a local folder, the Hugging Face hub's cache, or the hub itself if it answers soon."""

from __future__ import annotations

import contextlib
from pathlib import Path

from infra.artifacts.fingerprint import digest
from infra.artifacts.inputs import input_digest, input_digests
from infra.errors import InputError, UnavailableError

_SECONDS = 10.0  # to wait for the hub: a machine without a network must say so soon
_TOKENIZER = ("*.json", "*.txt", "*.model")
_WEIGHTS = ("*.safetensors",)  # never pickled weights: a hub's pickle is foreign code


def model_folder(model: str, revision: str = "main", *, weights: bool = True) -> Path:
    """The folder of `model`, a path or a name on the hub. Raises UnavailableError when the hub does not have it here.

    Without `weights`, configuration and tokenizer only.
    """
    if (folder := Path(model)).is_dir():
        return folder
    from huggingface_hub import HfApi, snapshot_download

    patterns = [*_TOKENIZER, *(_WEIGHTS if weights else ())]
    with contextlib.suppress(Exception):
        return Path(snapshot_download(model, revision=revision, allow_patterns=patterns, local_files_only=True))
    try:
        HfApi().model_info(model, revision=revision, timeout=_SECONDS)  # one quick question: a download retries long
        return Path(snapshot_download(model, revision=revision, allow_patterns=patterns))
    except Exception as error:  # whatever the HTTP library of the day raises
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UnavailableError(
            f"the model {model} cannot be had from the Hugging Face hub ({reason}); "
            f"fill the hub's cache with {model}, or give the folder of a local copy"
        ) from None


def pinned_revision(model: str, revision: str) -> str:
    """The commit that a branch or tag of the hub means on this machine, so that workers elsewhere read the same one;
    `revision` itself for a commit and for a folder. Raises UnavailableError.
    """
    folder = model_folder(model, revision)
    return folder.name if folder.parent.name == "snapshots" else revision


def digest_folder(folder: Path) -> str:
    """SHA-256 over names and contents of the files of a model's folder; links of the hub's cache are followed."""
    files = sorted(file for file in folder.glob("*") if file.is_file() and not file.name.startswith("."))
    if not files:
        raise InputError(f"{folder}: no such folder, or an empty one")
    return digest([[file.name, sha256] for file, sha256 in zip(files, input_digests(files), strict=True)])


def digest_model_file(file: Path) -> str:
    """SHA-256 of a file. Raises InputError where there is none, ArtifactError where it is an artifact's and damaged."""
    return input_digest(file)
