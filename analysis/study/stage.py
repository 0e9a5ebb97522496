"""`kind: study` as the front door sees it."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from analysis.study.spec import StudySpec
from infra.artifact import MANIFEST, Artifact, describe_files, is_artifact, now, read_artifact, write_manifest
from infra.cluster import RayCluster
from infra.errors import StepsFailed
from infra.export import Export
from infra.fingerprint import digest
from infra.stage import Page, Plan, say

if TYPE_CHECKING:
    from analysis.study.ledger import Ledger

VERSION = 1


def _to_swarm(artifact: Artifact, folder: Path) -> None:
    from analysis.proxies import export_proxies

    export_proxies(artifact, folder)


class Study:
    """Runs every step below its folder, then writes the report beside them."""

    kind = "study"
    spec = StudySpec
    exports: Mapping[str, Export] = MappingProxyType({"swarm": _to_swarm})

    def start(self, spec: StudySpec, target: Path, workers: int, ray: RayCluster | None = None) -> Artifact:
        """Run what is not done yet and report. Raises StepsFailed after the report when a step failed."""
        from analysis.study.runner import run_steps
        from analysis.study.steps import steps_of

        started = now()
        ledger = run_steps(steps_of(spec), target, workers, ray)
        inputs = {name: read_artifact(path).fingerprint for name, path in sorted(ledger.paths.items())}
        config = _config(spec)
        fingerprint = digest([self.kind, VERSION, config, inputs])
        if is_artifact(target) and read_artifact(target).fingerprint == fingerprint:
            say(f"nothing to do: all {len(ledger.steps)} steps of {target} are done (hormesis show {target})")
        else:
            _publish(spec, ledger, target, config=config, inputs=inputs, fingerprint=fingerprint, started=started)
        if failures := [(step.name, why) for step, why in ledger.having("failed")]:
            raise StepsFailed(failures)
        return read_artifact(target)

    def plan(self, spec: StudySpec) -> Plan:
        """The grid, its steps, its tokens and its training FLOPs."""
        from analysis.study.plan import plan_study

        return plan_study(spec)

    def show(self, artifact: Artifact) -> Page:
        """The report's tables; the page is the report itself."""
        from analysis.report import terminal_tables_of

        return Page(artifact.path.name, terminal_tables_of(artifact.path), file=artifact.path / "report.html")


def _publish(spec: StudySpec, ledger: Ledger, target: Path, **manifest: Any) -> None:
    """Write the report in a folder of its own, then move it in; the study's artifact.json comes last.

    An earlier report of another fingerprint is moved to `earlier/`, never overwritten.
    """
    from analysis.report import write_report
    from analysis.study.assemble import assemble

    work = target / ".report.partial"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    write_report(assemble(spec, ledger), work)
    files = describe_files(work)
    _move_earlier_report(target)
    for name in files:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        os.replace(work / name, target / name)
    shutil.rmtree(work)
    counts = dict(Counter(ledger.state.values()))
    write_manifest(target, files, kind="study", version=VERSION, counts=counts, notes=[], **manifest)
    say(f"study: {target}; report: {target / 'report.html'}")


def _move_earlier_report(target: Path) -> None:
    if not is_artifact(target):
        return
    record = json.loads((target / MANIFEST).read_text(encoding="utf-8"))
    aside = target / "earlier" / record["fingerprint"][:8]
    for name in [*record["files"], MANIFEST]:
        if (target / name).exists():
            (aside / name).parent.mkdir(parents=True, exist_ok=True)
            os.replace(target / name, aside / name)
    say(f"the study changed: its earlier report is now in {aside}")


def _config(spec: StudySpec) -> dict[str, Any]:
    """The study's own keys; everything else is in the fingerprints of its steps."""
    keys = {"name", "seeds", "doses", "dose_of", "policies", "methods", "ce_budget"}
    return spec.model_dump(mode="json", include=keys)


STUDY = Study()
