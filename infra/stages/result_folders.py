"""Where a result goes and where it is made: names beside `--out` that no other result or command can be in the way of.

runs/x                             the result
runs/x-8f2c1a90                    a result of other settings or inputs, whose fingerprint begins so
runs/.x.8f2c1a90d3e4.partial       work on its way to one of these; it stays until the same work is taken up again
runs/.x.8f2c1a90d3e4.partial.lease who is at that work now (infra/stages/lease.py)
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from pathlib import Path

from infra.artifacts.artifact import MANIFEST, Artifact, fingerprint_of, is_artifact, read_artifact
from infra.atomic import numbered, rename_to_first
from infra.errors import ArtifactError, InputError, JobError
from infra.files.digest_cache import relocate
from infra.render.progress import say
from infra.stages.lease import holder_of

ELSEWHERE_FILE = ".elsewhere"  # other machines may be at work here even when no process holds the folder


def partial_of(target: Path, fingerprint: str) -> Path:
    """The work folder of a stage that is on its way to `target`."""
    return target.parent / f".{target.name}.{fingerprint[:12]}.partial"


def partials_of(target: Path) -> list[Path]:
    """Every work folder on its way to `target`, whatever its fingerprint; names with dots are told apart."""
    form = re.compile(rf"\.{re.escape(target.name)}\.[0-9a-f]{{12}}\.partial")
    return [path for path in sorted(target.parent.glob(".*.partial")) if form.fullmatch(path.name)]


def made(target: Path, fingerprint: str) -> Artifact | None:
    """The whole artifact of this fingerprint that went to `target`, wherever it lies now; None where there is none."""
    for folder in _result_folders(target, fingerprint):
        if is_artifact(folder):
            with contextlib.suppress(ArtifactError):
                if fingerprint_of(folder) == fingerprint:
                    return read_artifact(folder)
    return None


def require_room(target: Path) -> None:
    """Raise InputError where something that is not ours has the place."""
    if not target.exists() or is_artifact(target) or (target.is_dir() and not any(target.iterdir())):
        return
    raise InputError(f"{target}: exists and is not a hormesis artifact; choose another --out or move it away")


def set_damaged_aside(target: Path, fingerprint: str) -> None:
    """Move a damaged artifact of this fingerprint away, so that it is made anew under its name and nothing is lost.

    One whose manifest no longer tells a fingerprint stays where it is.
    """
    for folder in filter(is_artifact, _result_folders(target, fingerprint)):
        try:
            if fingerprint_of(folder) == fingerprint:
                read_artifact(folder)
        except ArtifactError as error:
            say(f"{error}{_aside(folder, fingerprint)}")


def _aside(folder: Path, fingerprint: str) -> str:
    with contextlib.suppress(OSError):
        # as bytes: the manifest may be what is damaged, and no JSON any more
        if f'"fingerprint": "{fingerprint}"'.encode() in (folder / MANIFEST).read_bytes():
            aside = rename_to_first(folder, numbered(folder.with_name(f"{folder.name}.damaged")))
            return f"; moved to {aside}, doing it anew"
    return "; it stays, and the result goes beside it"


def publish(partial: Path, target: Path, fingerprint: str) -> Path:
    """Give finished work the first of its names that nothing has, by one rename; returns it.

    Raises JobError where all are taken.
    """
    folder = rename_to_first(partial, _result_folders(target, fingerprint))
    if folder is None:
        raise JobError(f"{target}: every name for the result is taken; the finished work is kept in {partial}")
    relocate(partial, folder)
    return folder


def _result_folders(target: Path, fingerprint: str) -> tuple[Path, ...]:
    """Names of a result in their order; nothing is ever overwritten."""
    endings = ("", f"-{fingerprint[:8]}", f"-{fingerprint[:16]}", f"-{fingerprint}")
    return tuple(target.with_name(target.name + ending) for ending in endings)


def tell_of_others(target: Path, partial: Path) -> None:
    """Say what other work is under way to `target`, or was stopped: how large it is and how to be rid of it."""
    for other in partials_of(target):
        if other == partial:
            continue
        if holder := holder_of(other):
            say(f"{target}: {holder} with other settings or inputs; who ends later gets a name beside it")
        else:
            say(f"{other}: {_stopped(other)}")


def tell_of_stopped(targets: Iterable[Path], below: Path) -> None:
    """Say in one line what work that is not on its way to any of `targets` any more was stopped and is kept."""
    left = [partial for target in targets for partial in partials_of(target) if holder_of(partial) is None]
    if left:
        say(f"{below}: {len(left)} work folder(s) of steps with other settings or inputs were stopped and are kept "
            f"({_size(*left)}): `rm -r {below}/.*.partial` removes them")  # fmt: skip


def _stopped(partial: Path) -> str:
    cluster = ", unless jobs of a cluster are still at it" if (partial / ELSEWHERE_FILE).exists() else ""
    return (
        f"work with other settings or inputs was stopped here and is kept ({_size(partial)}): run those again to go on "
        f"with it, or remove it with `rm -r {partial}`{cluster}"
    )


def _size(*folders: Path) -> str:
    files = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
    return f"{sum(file.stat().st_size for file in files) / 1e6:,.1f} MB"
