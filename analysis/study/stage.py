"""`kind: study` as the front door sees it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from analysis.study.ledger import Ledger
from analysis.study.runner import run_steps
from analysis.study.spec import StudySpec
from analysis.study.steps import steps_of
from infra.artifacts.artifact import (
    MANIFEST,
    STEPS,
    Artifact,
    describe_files,
    fingerprint_of,
    is_artifact,
    now,
    read_artifact,
    write_manifest,
)
from infra.artifacts.export import Export
from infra.artifacts.fingerprint import digest
from infra.artifacts.inputs import check_input, check_inputs
from infra.atomic import numbered
from infra.cluster import RayCluster
from infra.config.asked import keep_asked
from infra.errors import ArtifactError, InputError, StepsFailed
from infra.render.page import Page, Plan
from infra.render.progress import say
from infra.stages.lease import leased
from infra.stages.result_folders import tell_of_stopped
from infra.stages.status import STEPS_FILE

VERSION = 1


def _to_swarm(artifact: Artifact, folder: Path) -> None:
    from analysis.study.proxies import export_proxies

    export_proxies(artifact, folder)


class Study:
    """Runs every step below its folder, then writes the report beside them."""

    kind = "study"
    spec = StudySpec
    exports: Mapping[str, Export] = MappingProxyType({"swarm": _to_swarm})

    def start(
        self,
        spec: StudySpec,
        target: Path,
        workers: int,
        ray: RayCluster | None = None,
        failed: Mapping[str, str] = MappingProxyType({}),
    ) -> Artifact:
        """Run what is not done yet and report; steps that `failed` before, with their sentences, are not tried. Raises
        StepsFailed after the report when a step failed.
        """
        _require_room(target)
        with leased(target / ".study"):
            if spec.steps_in is not None:
                share_steps(target, Path(spec.steps_in))
            return self._run(spec, target, workers, ray, failed)

    def _run(
        self, spec: StudySpec, target: Path, workers: int, ray: RayCluster | None, failed: Mapping[str, str]
    ) -> Artifact:
        started = now()
        steps = steps_of(spec)
        _tell_damaged([target / STEPS / step.name for step in steps])
        ledger = run_steps(steps, target, workers, ray, failed)
        inputs = {name: read_artifact(path).fingerprint for name, path in sorted(ledger.paths.items())}
        config = spec.identity()
        fingerprint = digest([self.kind, VERSION, config, inputs])
        if _reported(target, fingerprint):
            say(f"nothing to do: all {len(ledger.steps)} steps of {target} are done (hormesis show {target})")
        else:
            check_inputs(ledger.paths.values())
            _publish(spec, ledger, target, config=config, inputs=inputs, fingerprint=fingerprint, started=started)
        keep_asked(target)
        tell_of_stopped([target / STEPS / step.name for step, _ in ledger.having("done")], target / STEPS)
        if failures := [(step.name, why) for step, why in ledger.having("failed")]:
            raise StepsFailed(failures)
        return read_artifact(target)

    def plan(self, spec: StudySpec) -> Plan:
        """The grid, its steps, its tokens and its training FLOPs."""
        from analysis.study.plan import plan_study

        return plan_study(spec)

    def show(self, artifact: Artifact) -> Page:
        """The report's tables; the page is the report itself."""
        from analysis.report.page import terminal_tables_of

        return Page(artifact.path.name, terminal_tables_of(artifact.path), file=artifact.path / "report.html")


def share_steps(target: Path, shared: Path) -> None:
    """Let the folder of the study's steps be `shared`: a link, so that whoever looks for steps finds them as ever.

    Raises InputError where the study has steps elsewhere already.
    """
    folder, shared = target / STEPS, shared.absolute()
    shared.mkdir(parents=True, exist_ok=True)
    if not folder.exists() and not folder.is_symlink():
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.symlink_to(shared, target_is_directory=True)
    if folder.resolve() != shared.resolve():
        raise InputError(f"{folder}: the steps of this study are there already and not in {shared} (`steps_in`); "
                         "choose another --out, or move them")  # fmt: skip


def _tell_damaged(folders: Iterable[Path]) -> None:
    """Say which steps are done anew as their artifacts are damaged; their own words about it go to their logs. One
    whose manifest no longer tells whose it is keeps its name, and the new one gets another.
    """
    for folder in filter(is_artifact, folders):
        try:
            read_artifact(folder)
        except ArtifactError as error:
            say(f"{error}; doing it anew (the damaged one is moved aside, or stays and the new one goes beside it)")


def _require_room(target: Path) -> None:
    """Raise InputError where `target` is something else than a study, which a report would be moved into."""
    with contextlib.suppress(ArtifactError):  # a damaged report is made anew
        if is_artifact(target) and (kind := read_artifact(target).kind) != Study.kind:
            raise InputError(f"{target}: holds a {kind} artifact; choose another --out for the study")
    names = {path.name for path in target.iterdir()} if target.is_dir() else set()
    if {name for name in names if not name.startswith(".")} and not names & {STEPS_FILE, MANIFEST, STEPS, "logs"}:
        raise InputError(f"{target}: exists and is not a study of hormesis; choose another --out or move it away")


def _reported(target: Path, fingerprint: str) -> bool:
    """Whether the report of this fingerprint stands there, whole. One that is damaged is said, and made anew."""
    if not is_artifact(target):
        return False
    try:
        report = read_artifact(target)
        if report.fingerprint == fingerprint:
            check_input(report)
        return report.fingerprint == fingerprint
    except ArtifactError as error:
        say(f"{error}; the report is made anew")
        return False


def _publish(spec: StudySpec, ledger: Ledger, target: Path, **manifest: Any) -> None:
    """Write the report in a folder of its own, then move it in; the study's artifact.json comes last.

    An earlier report is moved to `earlier/`, never overwritten.
    """
    from analysis.report.page import write_report
    from analysis.study.assemble import assemble

    # Beside the target and not in a temporary folder: os.replace moves within one file system only.
    work = target / ".report.partial"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    write_report(assemble(spec, ledger), work)
    files = describe_files(work)
    _move_earlier_report(target, list(files))
    for name in files:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        os.replace(work / name, target / name)
    shutil.rmtree(work)
    counts = dict(Counter(ledger.state.values()))
    write_manifest(target, files, kind="study", version=VERSION, counts=counts, notes=[], **manifest)
    say(f"study: {target}; report: {target / 'report.html'}")


def _move_earlier_report(target: Path, names: list[str]) -> None:
    """Move what an earlier report consists of, or where its manifest is damaged what would be in the way (`names`).

    The manifest goes last: a move that is cut short goes on with the rest the next time.
    """
    if not is_artifact(target):
        return
    try:
        aside = target / "earlier" / fingerprint_of(target)[:8]
        names = list(json.loads((target / MANIFEST).read_text(encoding="utf-8"))["files"])
    except ArtifactError:
        aside = next(path for path in numbered(target / "earlier" / "damaged") if not path.exists())
    for name in [*names, MANIFEST]:
        if (target / name).exists():
            (aside / name).parent.mkdir(parents=True, exist_ok=True)
            os.replace(target / name, aside / name)
    say(f"the study's earlier report is now in {aside}")


STUDY = Study()
