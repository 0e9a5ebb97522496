"""Files that match a pattern, with their sizes, from one listing: no file is asked for by itself."""

from __future__ import annotations

import os
import re
from glob import has_magic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

Listed = list[tuple[str, int | None]]
"""(path, stored bytes, None where the store does not say), sorted."""


def files_matching(filesystem: AbstractFileSystem, pattern: str) -> Listed:
    """Every file that matches, by fsspec's rules for wildcards. Raises whatever the file system raises."""
    folder, _, name = pattern.rpartition("/")
    if "file" in filesystem.protocol and has_magic(name) and "**" not in pattern:
        folders = filesystem.glob(folder) if has_magic(folder) else [folder or "/"]
        return sorted(file for each in folders for file in _in_folder(each, pattern))
    found = filesystem.glob(pattern, detail=True)
    return sorted((path, about["size"]) for path, about in found.items() if _is_file(filesystem, path, about["type"]))


def _in_folder(folder: str, pattern: str) -> Listed:
    """fsspec's own way through a local folder takes three times as long."""
    from fsspec.utils import glob_translate

    matches = re.compile(glob_translate(pattern)).match
    try:
        with os.scandir(folder) as entries:
            return [(entry.path, entry.stat().st_size) for entry in entries if matches(entry.path) and entry.is_file()]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _is_file(filesystem: AbstractFileSystem, path: str, kind: str) -> bool:
    """A link is neither file nor folder in a local listing."""
    return kind == "file" or (kind != "directory" and filesystem.isfile(path))
