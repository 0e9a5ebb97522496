"""Paths that come from outside (YAML, the command line, a foreign artifact): what they may be, decided once."""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath

from infra.errors import InputError
from infra.render.printable import printable

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
_LONGEST = 150  # bytes of a name; work folders add their own to it, and file systems end at 255


def absolute(path: str, folder: Path) -> Path:
    """`path`, relative to `folder`, with `~` filled in. Raises ValueError saying why that cannot be."""
    if "\0" in path:
        raise ValueError("a path holds no NUL character")
    try:
        return (folder / Path(path).expanduser()).resolve()
    except RuntimeError as error:  # no such user, no home, or links that go in a circle
        raise ValueError(f"{path}: {error}") from None


def file_name(name: str) -> str:
    """`name` if a file or folder can be called so and stays where it is put. Raises ValueError."""
    if not name or name.startswith(".") or set(name) & set("/\\\n\t") or printable(name) != name:
        raise ValueError("a name of files and folders: printable, without / and \\, and no dot in front")
    if len(name.encode()) > _LONGEST:
        raise ValueError(f"longer than {_LONGEST} bytes, which is too long for a file's name")
    return name


def is_inside(name: str) -> bool:
    """Whether a relative path such as `hf/model.safetensors` stays below the folder that it is relative to."""
    segments = name.split("/")
    return "\0" not in name and not PurePosixPath(name).is_absolute() and not {"", ".", ".."} & set(segments)


def output(target: Path, option: str = "--out") -> Path:
    """`target` if a new file or folder can be made there. Raises InputError, before anything is computed."""
    named = f"{option} {target}"
    if _SCHEME.match(str(target)):
        url = str(target).replace(":/", "://", 1)  # pathlib has taken one away
        raise InputError(f"{option} {url}: results are written to a folder here; `hormesis copy` brings it there")
    if target.name in ("", ".."):
        raise InputError(f"{named}: name the new folder itself, as in {option} runs/one")
    if len(os.fsencode(target.name)) > _LONGEST:
        raise InputError(f"{option} {target.name[:40]}…: a name of more than {_LONGEST} bytes")
    try:
        above = next(folder for folder in target.absolute().parents if folder.exists())
    except (OSError, ValueError) as error:
        raise InputError(f"{named}: cannot be written: {getattr(error, 'strerror', None) or error}") from None
    if not above.is_dir():
        raise InputError(f"{named}: {above} is a file, not a folder")
    if not os.access(above, os.W_OK | os.X_OK):
        raise InputError(f"{named}: {above} cannot be written to (read-only, or not yours)")
    return target
