"""Artifacts: one folder per stage, and in it `artifact.json`: what it is, made from what, whether whole."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import socket
import stat
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from infra.artifacts.fingerprint import digest_file
from infra.atomic import write_json
from infra.errors import ArtifactError, InputError
from infra.files.digests import digests
from infra.files.paths import is_inside

MANIFEST = "artifact.json"
STEPS = "steps"  # folder of a study in which the artifacts of its steps lie
STORE = "store"  # folder beside artifacts for those that several of them share
FORMAT = 2  # of artifact.json itself: since 2 it ends in a seal, the SHA-256 of all its other keys

Kinds: TypeAlias = str | tuple[str, ...] | None
"""The kind of artifact that is needed, or several of which any will do; None: whatever kind it is."""

_SEAL = "seal"
_PACKAGES = ("torch", "megatron-core", "transformers", "tokenizers", "datatrove", "numpy", "scikit-learn", "pyarrow")


class FileEntry(NamedTuple):
    """A file of an artifact: bytes, and the SHA-256 of its content. (A tuple, as there may be very many.)"""

    size: int
    sha256: str


@dataclass(frozen=True)
class Artifact:
    """What `artifact.json` says: `inputs` by name to fingerprint, `files` by relative path."""

    path: Path
    kind: str
    version: int
    fingerprint: str
    config: dict[str, Any]
    inputs: dict[str, str]
    files: dict[str, FileEntry]
    counts: dict[str, Any]
    notes: tuple[str, ...]
    started: str
    ended: str
    host: str
    hormesis: str
    packages: dict[str, str]


_asked: ContextVar[dict[Path, None] | None] = ContextVar("_asked", default=None)
_FIELDS = tuple(field.name for field in dataclasses.fields(Artifact) if field.name not in ("path", "notes"))


def is_artifact(path: Path) -> bool:
    """Whether `path` is a folder with an `artifact.json`."""
    return (path / MANIFEST).is_file()


def read_artifact(path: str | Path, kind: Kinds = None) -> Artifact:
    """Open an artifact and check that its files are there in full size.

    Raises InputError where there is no artifact or one of another kind, ArtifactError where it is damaged.
    """
    path = Path(path)
    record = _record(path, kind)
    fields = {name: record[name] for name in _FIELDS}
    fields["files"] = {name: FileEntry(entry["size"], entry["sha256"]) for name, entry in record["files"].items()}
    artifact = Artifact(path=path, notes=tuple(record.get("notes", ())), **fields)
    for name, entry in artifact.files.items():
        size = _size(f"{path}/{name}")
        if size != entry.size:
            state = "missing" if size is None else f"{size} bytes instead of {entry.size}"
            raise ArtifactError(f"{path / name}: {state}; the artifact is damaged, run its stage again")
    return artifact


def _record(path: Path, kind: Kinds) -> dict[str, Any]:
    """What `artifact.json` says, before anything is made of it."""
    kinds = (kind,) if isinstance(kind, str) else kind or ()
    try:
        record: dict[str, Any] = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        what = f"a {' or '.join(kinds)} artifact" if kinds else "an artifact"
        raise InputError(f"{path}: not {what} (there is no {MANIFEST}); make it with `hormesis run`") from None
    except (ValueError, RecursionError) as error:
        message = f"{path / MANIFEST}: not valid JSON ({error}); remove the folder and run the stage again"
        raise ArtifactError(message) from None
    check_record(record, path / MANIFEST)
    if kinds and record["kind"] not in kinds:
        raise InputError(f"{path}: is a {record['kind']} artifact, and a {' or '.join(kinds)} artifact is needed here")
    return record


def check_record(record: Any, file: object) -> None:
    """Raise ArtifactError where what `file` holds is no manifest, was changed since it was written, is of a format that
    this hormesis does not read, or names files outside its folder.
    """
    if not isinstance(record, dict) or "format" not in record:
        raise ArtifactError(f"{file}: not a manifest of hormesis")
    if record["format"] not in range(1, FORMAT + 1):
        raise ArtifactError(f"{file}: artifact format {record['format']!r}, this hormesis reads 1 to {FORMAT}")
    if (record["format"] > 1 or _SEAL in record) and record.get(_SEAL) != _seal_of(record):
        raise ArtifactError(f"{file}: content differs from its checksum; move the folder away and run the stage again")
    if missing := sorted(set(_FIELDS) - record.keys()):
        raise ArtifactError(f"{file}: the key {missing[0]!r} is missing; run the stage again")
    try:
        names = [str(name) for name, entry in record["files"].items() if (int(entry["size"]), str(entry["sha256"]))]
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ArtifactError(f"{file}: not a manifest of hormesis") from None
    for name in names:
        if not is_inside(name):
            raise ArtifactError(f"{file}: the file {name!r} lies outside the artifact")


def sealed(record: dict[str, Any]) -> dict[str, Any]:
    """A manifest with its seal, by which a change to it is noticed."""
    return {**record, _SEAL: _seal_of(record)}


def _seal_of(record: dict[str, Any]) -> str:
    content = {key: value for key, value in record.items() if key != _SEAL}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _size(file: str) -> int | None:
    """Bytes of a file, or None where there is none; an artifact may have a hundred thousand of them."""
    try:
        status = os.stat(file)
    except OSError:
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def verify(artifact: Artifact, below: str = "") -> None:
    """Compare every file's content with its checksum, those below the folder `below` only where one is given.

    Files that did not change since they were last read are not read again. Raises ArtifactError naming the first that
    differs.
    """
    names = [name for name in artifact.files if name.startswith(below)]
    for name, seen in zip(names, digests([artifact.path / name for name in names]), strict=True):
        compare(artifact, name, seen)


def compare(artifact: Artifact, name: str, seen: str) -> None:
    """Raise ArtifactError where the digest `seen` of a file is not the artifact's, nor what the file gives now."""
    file, expected = artifact.path / name, artifact.files[name].sha256
    if seen != expected and digest_file(file) != expected:
        raise ArtifactError(
            f"{file}: content differs from its checksum, so the {artifact.kind} artifact {artifact.path} is damaged; "
            "move that folder away and run its stage again, or copy it anew (--trust or HORMESIS_TRUST=1 takes it as "
            "it is)"
        )


def fingerprint_of(path: str | Path, kind: Kinds = None) -> str:
    """Fingerprint of the artifact at `path`, whose files are not looked at: `run_stage` does that for every artifact
    whose fingerprint was asked for here, before the stage begins.
    """
    fingerprint = str(_record(Path(path), kind)["fingerprint"])
    if (asked := _asked.get()) is not None:
        asked[Path(path)] = None
    return fingerprint


@contextlib.contextmanager
def asked_artifacts() -> Iterator[dict[Path, None]]:
    """The artifacts whose fingerprint is asked for inside the block, by path: what a stage will read."""
    asked: dict[Path, None] = {}
    before = _asked.set(asked)
    try:
        yield asked
    finally:
        _asked.reset(before)


def describe_files(folder: Path) -> dict[str, dict[str, Any]]:
    """Size and SHA-256 of every file below `folder`, by relative path, without `artifact.json` and dot files."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    names = {path: path.relative_to(folder) for path in files}
    contents = [path for path in files if str(names[path]) != MANIFEST and not names[path].name.startswith(".")]
    return {
        names[path].as_posix(): {"size": path.stat().st_size, "sha256": sha256}
        for path, sha256 in zip(contents, digests(contents), strict=True)
    }


def write_manifest(folder: Path, files: dict[str, dict[str, Any]], **fields: Any) -> None:
    """Write `artifact.json` of a finished stage; this is the last file of an artifact to be written."""
    record = {
        "format": FORMAT,
        **fields,
        "files": files,
        "ended": now(),
        "host": socket.gethostname(),
        "hormesis": version_of("hormesis"),
        "packages": {name: version_of(name) for name in _PACKAGES},
    }
    write_json(folder / MANIFEST, sealed(json.loads(json.dumps(record, allow_nan=False))))  # as it will be read


@cache
def version_of(distribution: str) -> str:
    """Installed version of a distribution, or '' when it is not installed. Read once: every row of a result asks."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""


def now() -> str:
    """The present moment as ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
