"""The folder that a run works in, and what it leaves there."""

from __future__ import annotations

import json
from pathlib import Path

from infra.fingerprint import digest_file
from infra.stage import Workspace


def workspace(folder: Path) -> Workspace:
    """A quiet workspace in a folder that need not be there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    return Workspace(folder, folder / "store", quiet=True)


def weights(folder: Path) -> str:
    """Checksum of the exported weights."""
    return digest_file(folder / "hf" / "model.safetensors")


def log(folder: Path) -> list[dict]:
    """The lines of log.jsonl."""
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
