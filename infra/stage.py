"""Stages: what a floor offers, and the one way in which any of them is run (skip, resume, atomic finish)."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from infra.artifact import (
    MANIFEST,
    Artifact,
    asked_artifacts,
    describe_files,
    is_artifact,
    now,
    read_artifact,
    write_manifest,
)
from infra.atomic import remove_temporaries, sync_folder, write_json
from infra.cluster import RayCluster
from infra.digest_cache import relocate
from infra.errors import ArtifactError, BusyError, InputError
from infra.export import Export
from infra.fingerprint import digest
from infra.inputs import Watched, changed_file, check_inputs, watched_files
from infra.paths import output
from infra.printable import printable
from infra.progress import PROGRESS_FILE, Advance, bar, console
from infra.ranks import JOB_FILE
from infra.spec import Spec

S = TypeVar("S", bound=Spec)

NOTES_FILE = ".notes.json"
STARTED_FILE = ".started"
ELSEWHERE_FILE = ".elsewhere"  # other machines may be at work here even when no process holds the folder


@dataclass(frozen=True)
class Identity:
    """What a fingerprint is made of: configuration (no paths, workers, devices) and the inputs' fingerprints."""

    config: dict[str, Any]
    inputs: dict[str, str]


@dataclass(frozen=True)
class Table:
    """A table for the terminal and for HTML alike."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]


@dataclass(frozen=True)
class Plan:
    """What a stage will do and cost; `scripts` are (title, text) of what would be handed to another program."""

    title: str
    tables: tuple[Table, ...]
    notes: tuple[str, ...] = ()
    scripts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Page:
    """What `show` draws: tables for the terminal; for the page an HTML body (already escaped) or a finished file."""

    title: str
    tables: tuple[Table, ...]
    html: str = ""
    file: Path | None = None


@dataclass(frozen=True)
class Workspace:
    """What a running stage gets.

    `path` is the work folder: it becomes the artifact by a rename when the stage returns, and it survives a kill, so
    that the next run of the same fingerprint finds what was there. `store` holds artifacts that several stages share
    (tokenizers, tokenised corpora). `workers` is the number of processes to use on this machine, `ray` the cluster that
    a stage which can use one works on instead.
    """

    path: Path
    store: Path
    workers: int = 1
    quiet: bool = False
    ray: RayCluster | None = None
    _notes: list[str] = field(default_factory=list)

    @contextlib.contextmanager
    def progress(self, label: str, total: int | None, unit: str = "", done: int = 0) -> Iterator[Advance]:
        """A progress bar with ETA; call what it yields with each increment."""
        folder = self.path if is_leader() else None
        with bar(label, total, unit, done=done, folder=folder, quiet=self.quiet) as advance:
            yield advance

    def note(self, message: str) -> None:
        """Tell the user one line (a warning or a fact) and keep it in the artifact."""
        if message in self._notes:
            return
        self._notes.append(message)
        if is_leader():
            write_json(self.path / NOTES_FILE, self._notes)
        if not self.quiet:
            say(message)


class Kind(Protocol):
    """What the front door needs of a `kind:`; a Stage is one, and so is a study."""

    @property
    def kind(self) -> str:
        """Its name in YAML."""

    @property
    def spec(self) -> type[Spec]:
        """The model of its YAML."""

    @property
    def plan(self) -> Callable[[Any], Plan]:
        """What it will do and cost."""

    @property
    def show(self) -> Callable[[Artifact], Page]:
        """Its page."""

    @property
    def exports(self) -> Mapping[str, Export]:
        """Formats that its artifacts can be handed on in."""

    def start(self, spec: Any, target: Path, workers: int, ray: RayCluster | None = None) -> Artifact:
        """Do it, into `target`."""


@dataclass(frozen=True)
class Stage(Generic[S]):
    """One kind of work. `version` rises when the same configuration would give other bytes than before; `on_ray` says
    whether it can use a Ray cluster. `elsewhere` says of a specification whether other machines do its work, so that
    this one only waits, and `submit` hands several of those over at once: (specification, work folder) pairs, and the
    folder for logs. `costly` is a pattern of what a killed run leaves in its work folder that is too dear to be dropped
    because the next run is of another specification.
    """

    kind: str
    version: int
    spec: type[S]
    identity: Callable[[S], Identity]
    run: Callable[[S, Workspace], dict[str, Any]]
    plan: Callable[[S], Plan]
    show: Callable[[Artifact], Page]
    exports: Mapping[str, Export] = field(default_factory=dict)
    on_ray: bool = False
    elsewhere: Callable[[S], bool] | None = None
    submit: Callable[[Sequence[tuple[S, Path]], Path], None] | None = None
    costly: str | None = None

    def fingerprint(self, spec: S) -> str:
        """Hash over kind, version, configuration and inputs."""
        identity = self.identity(spec)
        return digest([self.kind, self.version, identity.config, identity.inputs])

    def start(self, spec: S, target: Path, workers: int, ray: RayCluster | None = None) -> Artifact:
        """Run it into `target`, and say so."""
        if ray is not None and not self.on_ray:
            raise InputError(f"--ray: kind {self.kind} runs on this machine only; leave the option out")
        artifact = run_stage(self, spec, target, workers=workers, ray=ray)
        say(f"{self.kind}: {artifact.path}")
        return artifact


def say(message: str) -> None:
    """One line on standard error, where progress goes, so that standard output stays data."""
    console().print(printable(message), soft_wrap=True)


def is_leader() -> bool:
    """Whether this process writes artifacts: rank 0 under torchrun, or the only process."""
    return int(os.environ.get("RANK", "0")) == 0


def run_stage(
    stage: Stage[S],
    spec: S,
    target: Path,
    *,
    store: Path | None = None,
    workers: int = 1,
    quiet: bool = False,
    ray: RayCluster | None = None,
) -> Artifact:
    """Run a stage into the folder `target`, or return what is there already.

    The same fingerprint, whole: nothing is done. Another fingerprint at `target`: the work goes to `target-<8 digits>`.
    A work folder of the same fingerprint left by a killed run: it is taken up again.
    Another process is at it: this one waits, and then finds it done. Raises whatever the stage raises, and
    ArtifactError where the content of an input is not what its artifact says.
    """
    output(target)
    with asked_artifacts() as inputs, watched_files() as files:
        identity = stage.identity(spec)
    fingerprint = digest([stage.kind, stage.version, identity.config, identity.inputs])
    place = _place(target, fingerprint)
    if is_artifact(place):
        return read_artifact(place, stage.kind)
    if is_leader():
        check_inputs(inputs)
    partial = partial_of(place, fingerprint)
    shared = (store or target.parent / "store").absolute()
    partial.mkdir(parents=True, exist_ok=True)
    if not is_leader():
        stage.run(spec, Workspace(partial, shared, workers, quiet=True))
        return Artifact(place, stage.kind, stage.version, fingerprint, {}, {}, {}, {}, (), "", "", "", "", {})
    with locked(partial, wait=True):
        if is_artifact(place):  # another process finished it while this one waited to start
            return read_artifact(place, stage.kind)
        _clean(place, partial, stage.costly)
        # absolute, since workers of a cluster stand in other folders
        workspace = Workspace(partial.absolute(), shared, workers, quiet, ray, earlier_notes(partial))
        started = _started(partial)
        counts = stage.run(spec, workspace)
        _refuse_changed(files, partial)
        for name in (PROGRESS_FILE, NOTES_FILE, STARTED_FILE, JOB_FILE, ELSEWHERE_FILE):
            (partial / name).unlink(missing_ok=True)
        write_manifest(
            partial,
            describe_files(partial),
            kind=stage.kind,
            version=stage.version,
            fingerprint=fingerprint,
            config=identity.config,
            inputs=identity.inputs,
            counts=counts,
            notes=workspace._notes,
            started=started,
        )
        os.replace(partial, place)
        relocate(partial, place)
        sync_folder(place.parent)
    return read_artifact(place, stage.kind)


def _refuse_changed(files: Watched, partial: Path) -> None:
    """Raise InputError where a file is no longer what the fingerprint says, and put the work made of it aside."""
    if file := changed_file(files):
        aside = partial.with_name(f"{partial.name}.changed-{os.getpid()}")
        os.replace(partial, aside)
        raise InputError(f"{file}: changed while it was in use, so the result is not one of what it was when the run "
                         f"began; run again when nobody writes to it (the work is in {aside})")  # fmt: skip


def finished(stage: Stage[S], spec: S, target: Path) -> Artifact | None:
    """The artifact of this stage and specification if it is there and whole, without doing anything."""
    fingerprint = stage.fingerprint(spec)
    for place in (target, target.with_name(f"{target.name}-{fingerprint[:8]}")):
        if is_artifact(place):
            with contextlib.suppress(ArtifactError):
                artifact = read_artifact(place)
                if artifact.fingerprint == fingerprint:
                    return artifact
    return None


def work_folder(stage: Stage[S], spec: S, target: Path) -> Path:
    """The folder in which this stage and specification would be at work, made if it is not there."""
    fingerprint = stage.fingerprint(spec)
    partial = partial_of(_place(target, fingerprint), fingerprint).absolute()
    partial.mkdir(parents=True, exist_ok=True)
    return partial


def partial_of(place: Path, fingerprint: str) -> Path:
    """The work folder of a stage that is on its way to `place`."""
    return place.parent / f".{place.name}.{fingerprint[:12]}.partial"


def partials_of(place: Path) -> list[Path]:
    """Every work folder on its way to `place`, whatever its fingerprint; names with dots are told apart."""
    form = re.compile(rf"\.{re.escape(place.name)}\.[0-9a-f]{{12}}\.partial")
    return [path for path in sorted(place.parent.glob(".*.partial")) if form.fullmatch(path.name)]


def _place(target: Path, fingerprint: str) -> Path:
    """Where this fingerprint goes: `target` when it is free or holds it, else a sibling. Nothing is overwritten."""
    for place in (target, target.with_name(f"{target.name}-{fingerprint[:8]}")):
        if not place.exists():
            return place
        if not is_artifact(place):
            if place.is_dir() and not any(place.iterdir()):
                place.rmdir()
                return place
            raise InputError(f"{place}: exists and is not a hormesis artifact; choose another --out or move it away")
        if json.loads((place / MANIFEST).read_text())["fingerprint"] == fingerprint:
            return _whole_or_moved(place)
    raise ArtifactError(f"{target}: two different artifacts are in the way; choose another --out")


def _whole_or_moved(place: Path) -> Path:
    """Keep a whole artifact; move a damaged one aside, so that it is made anew and nothing is lost."""
    try:
        read_artifact(place)
    except ArtifactError as error:
        aside = place.with_name(f"{place.name}.damaged-{os.getpid()}")
        os.replace(place, aside)
        say(f"{error}; moved to {aside}, doing it anew")
    return place


def _clean(place: Path, partial: Path, costly: str | None) -> None:
    """Remove what killed runs left: our unfinished files, and work folders of other fingerprints that nobody holds.

    Raises InputError where one of those holds something costly.
    """
    if not (partial / ELSEWHERE_FILE).exists():
        remove_temporaries(partial)
    for other in partials_of(place):
        if other == partial:
            continue
        with contextlib.suppress(BusyError), locked(other, wait=False):
            if costly is not None and (left := sorted(other.glob(costly))):
                raise InputError(
                    f"{place}: a run with other inputs or settings stopped there at {left[-1].name}. Go on with it as "
                    f"it was, say another --out, or remove {other} to begin anew"
                )
            shutil.rmtree(other, ignore_errors=True)


def earlier_notes(partial: Path) -> list[str]:
    """What a killed run, or another process at the same work, has told the user."""
    file = partial / NOTES_FILE
    return json.loads(file.read_text()) if file.exists() else []


def _started(partial: Path) -> str:
    """When the work began, kept over kills."""
    file = partial / STARTED_FILE
    if not file.exists():
        file.write_text(now())
    return file.read_text()


@contextlib.contextmanager
def locked(folder: Path, wait: bool) -> Iterator[None]:
    """Hold a folder; the lock falls with the process, however it ends. BusyError if it is held and `wait` is off."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not wait:
                raise BusyError(f"{folder}: another hormesis process is working here") from None
            say(f"another hormesis process is working on {folder.name}; waiting for it")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
