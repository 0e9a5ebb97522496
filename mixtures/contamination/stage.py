"""The stage `contamination`: one corpus looked through for evaluation sets, in the store. Light to import."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path

from curation.steps.decontaminate import check_language, contents_of
from infra.artifacts.artifact import fingerprint_of, is_artifact
from infra.artifacts.records import JsonObject
from infra.jobs.base import Workers
from infra.stages.stage import Identity, Stage, Workspace
from mixtures.contamination.hits import Contamination, Contaminations, refuse_inside
from mixtures.spec.contamination import ContaminationSpec
from mixtures.spec.mixture import MixtureSpec
from mixtures.store.inner import inner_stage, make


def look_for_sets(
    spec: MixtureSpec, corpora: Iterable[str], workspace: Workspace, workers: Workers | None = None
) -> Contaminations:
    """What every corpus holds of the evaluation sets, looked for now where it is not in the store yet.

    Raises InputError (a set without text, or one that is itself in a corpus), RanksFailed.
    """
    if spec.decontaminate is None:
        return {}
    check_language(spec.decontaminate)
    stage = _stage(workers)
    contaminations = {}
    for corpus in corpora:
        artifact = make(stage, _spec(spec, corpus), _folder(spec, corpus, workspace.store), workspace)
        contaminations[corpus] = Contamination.open(artifact.path)
    refuse_inside(spec.decontaminate, contaminations)
    return contaminations


def stored_sets(spec: MixtureSpec, corpora: Iterable[str], store: Path) -> Contaminations | None:
    """The same from the store alone; None where a corpus has not been looked through."""
    if spec.decontaminate is None:
        return {}
    folders = {corpus: _folder(spec, corpus, store) for corpus in corpora}
    if not all(map(is_artifact, folders.values())):
        return None
    contaminations = {corpus: Contamination.open(folder) for corpus, folder in folders.items()}
    refuse_inside(spec.decontaminate, contaminations)
    return contaminations


def _spec(spec: MixtureSpec, corpus: str) -> ContaminationSpec:
    assert spec.decontaminate is not None and spec.curation is not None
    return ContaminationSpec(curation=spec.curation, corpus=corpus, sets=spec.decontaminate.benchmarks)


def _folder(spec: MixtureSpec, corpus: str, store: Path) -> Path:
    return store / f"contamination-{corpus}-{_stage().fingerprint(_spec(spec, corpus))[:12]}"


def _identity(spec: ContaminationSpec) -> Identity:
    inputs = {"curation": fingerprint_of(spec.curation, "curation")}
    return Identity(spec.identity(), inputs | contents_of(spec.sets))


def _stage(workers: Workers | None = None) -> Stage[ContaminationSpec]:
    return inner_stage("contamination", ContaminationSpec, _identity, partial(_run, workers=workers))


def _run(spec: ContaminationSpec, workspace: Workspace, workers: Workers | None) -> JsonObject:
    from mixtures.contamination.scan import scan

    return scan(spec, workspace, workers)
