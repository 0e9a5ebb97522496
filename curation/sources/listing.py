"""Files that match a pattern, with their sizes, from one listing: no file is asked for by itself.

Nothing that matches is passed over without a word: a link that leads nowhere or a folder that cannot be opened is an
error before anything is read, and what is left out on purpose is named.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial
from glob import has_magic
from typing import TYPE_CHECKING, NamedTuple

from curation.sources.versions import Version, local_version, remote_version
from infra.errors import InputError

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_NAMED = 3  # of what is left out
_ANY = "**"
# What Spark, Delta, Databricks and macOS leave beside the data; other names with a low line in front are data.
_BESIDE = re.compile(r"_(SUCCESS|temporary|metadata|common_metadata|delta_log|spark_metadata|_MACOSX"
                     r"|committed_\d+|started_\d+)")  # fmt: skip


class ListedFile(NamedTuple):
    """A file; `size` is its stored bytes, None where the store does not say; `version` changes when the file does."""

    path: str
    size: int | None
    version: Version = ()


@dataclass
class Listing:
    """The files that a pattern means, sorted, and what it matches besides: hidden files, folders, links to folders."""

    files: list[ListedFile] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)

    def left_out(self, label: Callable[[str], str]) -> str:
        """What is not read though it matches, in a few words with the label of each; '' where there is nothing."""
        told = (
            (self.hidden, "hidden (a pattern takes such a name when it begins like it)"),
            (self.folders, "a folder (add /* to go into it)"),
            (self.links, "a link to a folder, which ** does not follow (make it a source of its own)"),
        )
        return "; ".join(f"{_several(list(map(label, paths)))}: {what}" for paths, what in told if paths)


def files_matching(filesystem: AbstractFileSystem, pattern: str) -> Listing:
    """Every file that matches, by fsspec's rules for wildcards; names with a dot in front, and what Spark leaves beside
    its files, only where the pattern asks for them.

    Raises InputError naming what cannot be read; whatever else the file system raises.
    """
    search = _Search(pattern)
    if "file" in filesystem.protocol:
        search.local()
    else:
        search.remote(filesystem)
    search.listing.files.sort()
    return search.listing


class _Search:
    """One way through the files that a pattern may mean."""

    def __init__(self, pattern: str) -> None:
        from fsspec.utils import glob_translate

        self.pattern, self.listing = pattern, Listing()
        self._steps = pattern.split("/")
        self._last = len(self._steps) - 1
        self._fixed = next((at for at, step in enumerate(self._steps) if has_magic(step)), self._last)
        self._deep = self._steps.index(_ANY) if _ANY in self._steps else len(self._steps)
        self._matches = re.compile(glob_translate(pattern)).match
        self._leads_on = [re.compile(glob_translate(step)).match for step in self._steps]
        self._dotted = [step for step in self._steps[self._fixed :] if step[:1] in (".", "_")]

    def local(self) -> None:
        """Every local file that matches."""
        if has_magic(self.pattern):
            self._enter("/".join(self._steps[: self._fixed]) or "/", self._fixed)
        elif os.path.lexists(self.pattern):
            self._take(self.pattern, _status(self.pattern, partial(os.stat, self.pattern)))

    def remote(self, filesystem: AbstractFileSystem) -> None:
        """Every file of another file system that matches."""
        matching = filesystem.glob(self.pattern, detail=True)
        if not matching and "http" in filesystem.protocol and not has_magic(self.pattern):
            filesystem.exists(self.pattern, strict=True)  # a web server that does not answer is no missing file
        for path, about in matching.items():
            if any(map(self._hides, path.split("/")[self._fixed :])):
                self.listing.hidden.append(path)
            elif about["type"] == "directory":
                self._add_folder(path)
            else:
                self.listing.files.append(ListedFile(path, about["size"], remote_version(about)))

    def _enter(self, folder: str, depth: int) -> None:
        """Everything in a folder whose entries are the pattern's step `depth`, or further down below `**`."""
        deep, last = depth >= self._deep, depth == self._last
        for entry in _entries(folder):
            matches = bool((deep or last) and self._matches(entry.path))
            if matches or deep or (not last and self._leads_on[depth](entry.name)):
                self._look(entry, depth, matches)

    def _look(self, entry: os.DirEntry[str], depth: int, matches: bool) -> None:
        """An entry that matches, or may be a folder on the way to what does."""
        if matches and entry.is_file(follow_symlinks=False) and entry.name[0] not in "._":
            self._take(entry.path, _status(entry.path, entry.stat))
            return  # nearly always, of a hundred thousand files
        folder, deep = entry.is_dir(follow_symlinks=False), depth >= self._deep
        if not (matches or folder or entry.is_symlink()):
            return
        if self._hides(entry.name):
            self.listing.hidden.append(f"{entry.path}/" if folder else entry.path)
            return
        if deep and not matches and not folder:
            with contextlib.suppress(OSError):  # nobody has asked for a link of this name that leads nowhere
                if entry.is_dir():
                    self.listing.links.append(entry.path)
            return
        status = _status(entry.path, entry.stat)
        if matches:
            self._take(entry.path, status)
        if not stat.S_ISDIR(status.st_mode):
            return
        if deep and not folder:
            self.listing.links.append(entry.path)
        elif deep or depth < self._last:
            self._enter(entry.path, depth + 1)

    def _take(self, path: str, status: os.stat_result) -> None:
        if stat.S_ISREG(status.st_mode):
            self.listing.files.append(ListedFile(path, status.st_size, local_version(status)))
        elif stat.S_ISDIR(status.st_mode):
            self._add_folder(path)
        else:
            raise InputError(f"{path}: not a file (a pipe, a socket or a device)")

    def _add_folder(self, path: str) -> None:
        """A folder that matches; below `**` what is in it is looked at as well."""
        if self._deep > self._last:
            self.listing.folders.append(path)

    def _hides(self, name: str) -> bool:
        """Whether a name is hidden, and no step of the pattern begins like it."""
        if name[:1] != "." and not (name[:1] == "_" and _BESIDE.fullmatch(name)):
            return False
        return not any(name[0] == step[0] and fnmatchcase(name, step) for step in self._dotted)


def _entries(folder: str) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise InputError(f"{folder}: this folder cannot be read: {error.strerror}") from None


def _status(path: str, look: Callable[[], os.stat_result]) -> os.stat_result:
    try:
        return look()
    except FileNotFoundError:
        why = "the link leads nowhere" if os.path.islink(path) else "it went away while it was listed"
        raise InputError(f"{path}: {why}") from None
    except OSError as error:
        circle = error.errno == errno.ELOOP
        why = "the link leads back to itself" if circle else f"cannot be read: {error.strerror}"
        raise InputError(f"{path}: {why}") from None


def _several(labels: list[str]) -> str:
    """`a, b, c and 2 more`."""
    more = f" and {len(labels) - _NAMED} more" if len(labels) > _NAMED else ""
    return ", ".join(sorted(labels)[:_NAMED]) + more
