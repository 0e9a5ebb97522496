"""Stages: what a floor offers, and the one way in which any of them is run (skip, resume, atomic finish)."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from infra.artifacts.artifact import (
    STORE,
    Artifact,
    asked_artifacts,
    describe_files,
    now,
    read_artifact,
    write_manifest,
)
from infra.artifacts.export import Export
from infra.artifacts.fingerprint import digest
from infra.artifacts.inputs import Watched, changed_file, check_input, check_inputs, watched_files
from infra.atomic import remove_temporaries, write_json
from infra.cluster import RayCluster
from infra.config.spec import Spec
from infra.errors import InputError
from infra.files.paths import output
from infra.render.page import Page, Plan
from infra.render.progress import PROGRESS_FILE, Advance, bar, say
from infra.stages.job_state import JOB_FILE
from infra.stages.lease import leased
from infra.stages.result_folders import (
    ELSEWHERE_FILE,
    made,
    partial_of,
    publish,
    require_room,
    set_damaged_aside,
    tell_of_others,
)

S = TypeVar("S", bound=Spec)

NOTES_FILE = ".notes.json"
STARTED_FILE = ".started"


@dataclass(frozen=True)
class Identity:
    """What a fingerprint is made of: configuration (no paths, workers, devices) and the inputs' fingerprints."""

    config: dict[str, Any]
    inputs: dict[str, str]


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
    folder for logs.
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

    def fingerprint(self, spec: S) -> str:
        """Hash over kind, version, configuration and inputs."""
        identity = self.identity(spec)
        return digest([self.kind, self.version, identity.config, identity.inputs])

    def start(self, spec: S, target: Path, workers: int, ray: RayCluster | None = None) -> Artifact:
        """Run it into `target`, and say so."""
        if ray is not None and not self.on_ray:
            raise InputError(f"--ray: kind {self.kind} runs on this machine only; leave the option out")
        artifact = run_stage(self, spec, target, workers=workers, ray=ray, verify_result=True)
        say(f"{self.kind}: {artifact.path}")
        return artifact


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
    verify_result: bool = False,
) -> Artifact:
    """Run a stage into the folder `target`, or return what is there already.

    The same fingerprint, whole: nothing is done. Another fingerprint at `target`, now or when the work ends: the result
    goes to `target-<8 digits>`, and that is said. A work folder of the same fingerprint left by a killed run: it is
    taken up again; those of other fingerprints are left alone.
    Another process is at it, on whatever machine: this one waits, and then finds it done. Raises whatever the stage
    raises, and ArtifactError where the content of an input is not what its artifact says; with `again` also where
    that is so of the result that is there, for whom running again is the answer to damage.
    """
    output(target)
    with asked_artifacts() as inputs, watched_files() as files:
        identity = stage.identity(spec)
    fingerprint = digest([stage.kind, stage.version, identity.config, identity.inputs])
    if (artifact := made(target, fingerprint)) is not None:
        if verify_result and is_leader():
            check_input(artifact)
        return artifact
    require_room(target)
    partial = partial_of(target, fingerprint)
    shared = (store or target.parent / STORE).absolute()
    if not is_leader():
        partial.mkdir(parents=True, exist_ok=True)
        stage.run(spec, Workspace(partial, shared, workers, quiet=True))
        return Artifact(target, stage.kind, stage.version, fingerprint, {}, {}, {}, {}, (), "", "", "", "", {})
    check_inputs(inputs)
    with leased(partial):
        if (artifact := made(target, fingerprint)) is not None:  # finished while this one waited
            return artifact
        set_damaged_aside(target, fingerprint)
        if not quiet:
            tell_of_others(target, partial)
        partial.mkdir(parents=True, exist_ok=True)
        if not (partial / ELSEWHERE_FILE).exists():
            remove_temporaries(partial)
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
        result = publish(partial, target, fingerprint)
    if result != target and not quiet:
        say(f"{target}: is the result of other settings or inputs, so this one is in {result}")
    return read_artifact(result, stage.kind)


def _refuse_changed(files: Watched, partial: Path) -> None:
    """Raise InputError where a file is no longer what the fingerprint says, and put the work made of it aside."""
    if file := changed_file(files):
        aside = partial.with_name(f"{partial.name}.changed-{os.getpid()}")
        os.replace(partial, aside)
        raise InputError(f"{file}: changed while it was in use, so the result is not one of what it was when the run "
                         f"began; run again when nobody writes to it (the work is in {aside})")  # fmt: skip


def finished(stage: Stage[S], spec: S, target: Path) -> Artifact | None:
    """The artifact of this stage and specification if it is there and whole, without doing anything."""
    return made(target, stage.fingerprint(spec))


def work_folder(stage: Stage[S], spec: S, target: Path) -> Path:
    """The folder in which this stage and specification would be at work, made if it is not there."""
    partial = partial_of(target, stage.fingerprint(spec)).absolute()
    partial.mkdir(parents=True, exist_ok=True)
    return partial


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
