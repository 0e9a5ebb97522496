"""`hormesis copy`: a finished artifact to or from a bucket, checked on the way, its `artifact.json` last.

So a copy that was cut short is no artifact anywhere, and running the same command again makes it one.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsspec.implementations.local import LocalFileSystem

from infra.artifacts.artifact import MANIFEST, check_record
from infra.atomic import folder_beside, rename_to_first
from infra.errors import ArtifactError, InputError
from infra.files.paths import output
from infra.files.remote import located
from infra.render.progress import Advance

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem


_CHUNK = 1 << 22


def copy_artifact(source: str, target: str, advance: Advance) -> None:
    """Copy the artifact at `source` to the free place `target`; both are folders or fsspec URLs.

    An artifact of the same fingerprint at `target` is left as it is. Raises InputError (no artifact here, something
    else there, a place that cannot be reached) and ArtifactError (content that differs from its checksum).
    """
    origin, below = _folder(source)
    record = _record(origin, below)
    if record is None:
        raise InputError(f"{source}: not an artifact (there is no {MANIFEST})")
    there, path = _folder(target)
    existing = _record(there, path)
    if existing is not None and existing["fingerprint"] != record["fingerprint"]:
        raise InputError(f"{target}: holds another artifact ({existing['kind']} {existing['fingerprint'][:12]})")
    if existing is not None:
        advance(sum(entry["size"] for entry in record["files"].values()))
    elif "://" in target:
        _copy(origin, below, there, path, record, advance)
    else:
        _copy_to_folder(origin, below, Path(target), record, advance)


def size_of(source: str) -> int:
    """Bytes of an artifact's files, from its manifest; 0 where there is none."""
    record = _record(*_folder(source))
    return sum(entry["size"] for entry in record["files"].values()) if record else 0


def _folder(location: str) -> tuple[AbstractFileSystem, str]:
    filesystem, path = located(location)
    filesystem.invalidate_cache()
    return filesystem, path.rstrip("/")


def _record(filesystem: AbstractFileSystem, folder: str) -> dict[str, Any] | None:
    """The artifact.json of a folder, or None where there is none. Raises ArtifactError for one that is no manifest, or
    that names files outside its folder.
    """
    try:
        record = json.loads(filesystem.cat_file(f"{folder}/{MANIFEST}"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, RecursionError):
        raise ArtifactError(f"{folder}/{MANIFEST}: not valid JSON") from None
    except Exception as error:  # whatever the store's own library raises: no credentials, no such host, no permission
        raise InputError(f"{folder}: cannot be read: {_reason(error)}") from None
    _check(record, folder, local=isinstance(filesystem, LocalFileSystem))
    return dict(record)


def _check(record: Any, folder: str, local: bool) -> None:
    """What is copied by name is taken from below the folder and put below the target: no `..`, no link out of it."""
    check_record(record, f"{folder}/{MANIFEST}")
    for name in record["files"] if local else ():
        if _leads_out(folder, name):
            raise ArtifactError(f"{folder}/{MANIFEST}: the file {name!r} lies outside the artifact; nothing is copied")


def _leads_out(folder: str, name: str) -> bool:
    """Whether a link brings a file of a local folder out of it."""
    root = os.path.realpath(folder)
    return os.path.commonpath([root, os.path.realpath(f"{folder}/{name}")]) != root


def _copy_to_folder(
    origin: AbstractFileSystem, below: str, target: Path, record: dict[str, Any], advance: Advance
) -> None:
    """A local copy appears by one rename."""
    output(target, "copy to")
    if target.exists():
        raise InputError(f"{target}: exists and is not a hormesis artifact; choose another place or move it away")
    with folder_beside(target) as work:
        _copy(origin, below, LocalFileSystem(), str(work), record, advance)
        if rename_to_first(work, [target]) is None:
            raise InputError(f"{target}: another command was there first; choose another place")


def _copy(
    origin: AbstractFileSystem, below: str, there: AbstractFileSystem, path: str, record: dict[str, Any],
    advance: Advance,
) -> None:  # fmt: skip
    """Every file with its checksum compared, then the manifest."""
    try:
        for name, entry in record["files"].items():
            _copy_file(origin, f"{below}/{name}", there, f"{path}/{name}", entry["sha256"], advance)
        there.pipe_file(f"{path}/{MANIFEST}", origin.cat_file(f"{below}/{MANIFEST}"))
    except ArtifactError:
        raise
    except Exception as error:  # as above
        raise InputError(f"{path}: cannot be copied to from {below}: {_reason(error)}") from None


def _copy_file(
    origin: AbstractFileSystem, file: str, there: AbstractFileSystem, path: str, sha256: str, advance: Advance
) -> None:
    there.makedirs(path.rpartition("/")[0], exist_ok=True)
    seen = hashlib.sha256()
    with origin.open(file, "rb") as source, there.open(path, "wb") as target:
        while chunk := source.read(_CHUNK):
            seen.update(chunk)
            target.write(chunk)
            advance(len(chunk))
    if seen.hexdigest() != sha256:
        there.rm_file(path)
        raise ArtifactError(f"{file}: content differs from its checksum; make the artifact again")


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
