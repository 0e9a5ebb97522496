"""Atomic files: temporary file beside the target, fsync, rename. A crash leaves the old file or the new one."""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

TEMPORARY = ".tmp-"


@contextlib.contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Give a temporary path beside `target`; on success it is synced and renamed over it, on error it is removed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=TEMPORARY, suffix="-" + target.name, dir=target.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        os.chmod(temporary, 0o666 & ~_umask())  # mkstemp makes files private; artifacts are shared like any output
        sync(temporary)
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(target.parent)


@contextlib.contextmanager
def folder_beside(target: Path) -> Iterator[Path]:
    """Give a new folder beside `target`, to be filled and renamed; what is still there at the end is removed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=TEMPORARY, suffix="-" + target.name, dir=target.parent))
    try:
        os.chmod(folder, 0o777 & ~_umask())
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def rename_to_first(folder: Path, names: Iterable[Path]) -> Path | None:
    """Rename a folder to the first of `names` at which nothing is (an empty folder counts as nothing), in one step.

    Returns that name, or None where all are taken.
    """
    for name in names:
        try:
            os.rename(folder, name)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
            continue
        sync_folder(name.parent)
        return name
    return None


def numbered(path: Path) -> Iterator[Path]:
    """`path`, path-2, path-3, …"""
    yield path
    yield from (path.with_name(f"{path.name}-{number}") for number in itertools.count(2))


def write_bytes(target: Path, data: bytes) -> None:
    """Write `data` to `target` atomically."""
    with atomic_path(target) as temporary:
        temporary.write_bytes(data)


def write_text(target: Path, text: str) -> None:
    """Write `text` to `target` atomically as UTF-8."""
    write_bytes(target, text.encode())


def write_json(target: Path, value: object) -> None:
    """Write `value` as indented JSON with sorted keys, atomically. Raises ValueError on NaN."""
    write_text(target, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")


def sync(path: Path) -> None:
    """Flush a file's content to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries; some file systems refuse to, and then the rename is as durable as it gets."""
    with contextlib.suppress(OSError):
        sync(folder)


def remove_temporaries(folder: Path) -> None:
    """Remove what a killed process left of unfinished `atomic_path` writes anywhere below `folder`."""
    for leftover in folder.rglob(TEMPORARY + "*"):
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def _umask() -> int:
    # The only way to read the umask is to set it; both calls happen at once and no other thread creates files here.
    mask = os.umask(0)
    os.umask(mask)
    return mask
