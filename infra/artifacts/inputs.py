"""What a stage reads of others, checked: an artifact's files must be what its `artifact.json` says they are."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from contextvars import ContextVar
from itertools import chain
from pathlib import Path

from infra.artifacts.artifact import Artifact, Kinds, compare, is_artifact, read_artifact, verify
from infra.artifacts.fingerprint import digest_location
from infra.files.digest_cache import Stamp
from infra.files.digests import digests
from infra.render.progress import say

Watched = dict[str, tuple[Stamp | None, str]]
"""Stamp and digest of files by their absolute paths, or URLs, which have no stamp."""

_watched: ContextVar[Watched | None] = ContextVar("_watched", default=None)

_SHOWN_AT_ONCE = 2 << 30  # bytes; a few seconds
TRUST = "HORMESIS_TRUST"  # a variable, so that the workers and ranks of this command know as well


def trust_inputs() -> None:
    """Take inputs as they are, here and in every process that this one starts."""
    os.environ[TRUST] = "1"


def trust_passed_on() -> dict[str, str]:
    """The variable for processes that do not get this one's environment."""
    return {TRUST: "1"} if trusted() else {}


def trusted() -> bool:
    """Whether the user has said that inputs are taken as they are, with `--trust` or HORMESIS_TRUST=1."""
    return os.environ.get(TRUST, "0") not in ("", "0")


def open_input(path: str | Path, kind: Kinds = None, below: str = "") -> Artifact:
    """Open an artifact that is about to be used, with every file (below the folder `below`) compared with its checksum.

    Raises InputError where there is none or one of another kind, ArtifactError where it is damaged.
    """
    artifact = read_artifact(path, kind)
    check_input(artifact, below)
    return artifact


def open_to_show(path: str | Path) -> Artifact:
    """Open an artifact of which something is shown to a person; what is too large to be compared for that is said to be
    so. Raises what `open_input` raises.
    """
    artifact = read_artifact(path)
    size = sum(entry.size for entry in artifact.files.values())
    if size <= _SHOWN_AT_ONCE:
        check_input(artifact)
    elif not trusted():
        say(f"{path}: {size / 1e9:,.0f} GB, which are not compared with their checksums to show this")
    return artifact


def check_input(artifact: Artifact, below: str = "") -> None:
    """Compare the content of an artifact that is about to be used, unless inputs are trusted. Raises ArtifactError."""
    if not trusted():
        verify(artifact, below)


def check_inputs(paths: Iterable[Path]) -> None:
    """Open several artifacts as inputs. Raises what `open_input` raises."""
    for path in paths if not trusted() else ():
        open_input(path)


def input_digests(files: Sequence[str | Path], *, sizes: Sequence[int] | None = None, watch: bool = True) -> list[str]:
    """`digests` of files that a stage reads by their paths, in order.

    A file inside an artifact must be what the artifact says, or a damaged model would only look like another one. When
    the stage has ended, `run_stage` looks whether they are still what they were, unless `watch` is off as the reader
    looks. Raises InputError for what cannot be read, ArtifactError for what is damaged.
    """
    watched = _watched.get() if watch else None
    stamps = [] if watched is None else [_stamp(file) for file in files]
    checksums = digests(files, sizes=sizes)
    if watched is not None:
        for file, stamp, checksum in zip(files, stamps, checksums, strict=True):
            watched.setdefault(os.path.abspath(file), (stamp, checksum))
    if not trusted():
        _compare_owned(files, checksums)
    return checksums


def _compare_owned(files: Sequence[str | Path], checksums: Sequence[str]) -> None:
    """Raise ArtifactError for a file of an artifact that is not what the artifact says."""
    folders = {os.path.dirname(file) for file in files}  # of a hundred thousand files a few
    owners = {folder: owner for folder in folders if (owner := _owner(os.path.abspath(folder)))}
    for file, checksum in zip(files, checksums, strict=True) if owners else ():
        if owner := owners.get(os.path.dirname(file)):
            name = os.path.relpath(file, owner.path)
            if name in owner.files:
                compare(owner, name, checksum)


def input_digest(file: str | Path) -> str:
    """`input_digests` of one file."""
    return input_digests([file])[0]


def location_digest(url: str, *, watch: bool = True) -> str:
    """`digest_location` of what a stage reads from a bucket or web server, which is looked at again when it has ended.
    Raises FileNotFoundError, InputError.
    """
    checksum = digest_location(url)
    watched = _watched.get()
    if watch and watched is not None and "://" in url:
        watched.setdefault(url, (None, checksum))
    return checksum


@contextlib.contextmanager
def watched_files() -> Iterator[Watched]:
    """The files whose `input_digests` are asked for inside the block: what a stage will read."""
    watched: Watched = {}
    before = _watched.set(watched)
    try:
        yield watched
    finally:
        _watched.reset(before)


def changed_file(watched: Watched) -> str | None:
    """One of the files whose content is another one now; None where all are what they were, or gone."""
    remote = {file: digest for file, (_, digest) in watched.items() if "://" in file}
    touched = {file: digest for file, (stamp, digest) in watched.items()
               if file not in remote and _stamp(file) not in (stamp, None)}  # fmt: skip
    changed = (file for file, digest in touched.items() if digests([file]) != [digest])
    moved = (url for url, seen in remote.items() if _remote_now(url) not in (seen, None))
    return next(chain(changed, moved), None)


def _remote_now(url: str) -> str | None:
    with contextlib.suppress(OSError):
        return digest_location(url, refresh=True)
    return None


def _stamp(file: str | Path) -> Stamp | None:
    try:
        return Stamp.of(os.stat(file))
    except OSError:
        return None


def _owner(folder: str) -> Artifact | None:
    """The artifact that an absolute folder is, or is in."""
    path = Path(folder)
    root = next((above for above in (path, *path.parents) if is_artifact(above)), None)
    return None if root is None else read_artifact(root)
