"""`hormesis rescore`: one more scorer for what a finished study, or an analysis, has generated.

The YAML that it was made from is changed as a user would change it (the scorer goes to `toxicity.also`, or counts and
the one that did goes there) and run again, after a look that all that needs a model or a machine is there.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from analysis.evaluations import EVALUATIONS
from analysis.evaluations.base import LazyModel, Subject
from analysis.spec import AnalysisSpec
from analysis.stage import ANALYSIS, unmeasured
from analysis.study.kinds import stage_of
from analysis.study.ledger import Ledger
from analysis.study.runner import target_of
from analysis.study.spec import StudySpec
from analysis.study.stage import STUDY
from analysis.study.steps import StudyStep, steps_of
from curation.filter.text_scoring import section_of
from infra.artifacts.artifact import STEPS, STORE, Artifact, read_artifact
from infra.config.asked import asking, keep_asked, read_asked
from infra.config.document import YamlDocument
from infra.config.extends import anchored
from infra.config.spec import validate
from infra.errors import InputError
from infra.stages.stage import Workspace, finished
from infra.stages.status import STEPS_FILE
from pretrain.launchers.options import LocalSpec


def rescored(folder: Path, scorer: str, as_first: bool, workers: int) -> Artifact:
    """The study or analysis in `folder` with one more scorer, as `--scorer` names it.

    Raises InputError where it has that scorer, or where something would have to be generated or trained; ConfigError
    for a scorer that is none.
    """
    kind = read_artifact(folder).kind
    if kind not in (STUDY.kind, ANALYSIS.kind):
        raise InputError(f"{folder}: is a {kind} artifact; what is scored is a study or an analysis")
    document = with_scorer(read_asked(folder), anchored(section_of(scorer), Path.cwd()), as_first)
    with asking(document):
        if kind == ANALYSIS.kind:
            return _analysis(document, folder, workers)
        return _study(document, folder, workers)


def with_scorer(document: YamlDocument, scorer: dict[str, Any], as_first: bool) -> YamlDocument:
    """The document of a study or an analysis with one more scorer. Raises InputError where it scores nothing, or has
    the scorer already.
    """
    data = dict(document.data)
    holder = data
    if data["kind"] == STUDY.kind:
        holder = data["analysis"] = dict(data["analysis"])
    if not isinstance(holder.get("toxicity"), dict):
        raise InputError(f"{document.path}: has no `toxicity`, and nothing else is scored; there is nothing to rescore")
    toxicity = holder["toxicity"] = dict(holder["toxicity"])
    first, others = toxicity["scorer"], list(toxicity.get("also") or [])
    if scorer in (first, *others):
        raise InputError(f"{document.path}: the scorer {scorer['name']} has scored it already")
    toxicity |= {"scorer": scorer, "also": [first, *others]} if as_first else {"also": [*others, scorer]}
    return replace(document, data=data)


def _analysis(document: YamlDocument, folder: Path, workers: int) -> Artifact:
    spec = validate(document, AnalysisSpec).model_copy(update={"launcher": LocalSpec()})
    assert isinstance(spec, AnalysisSpec)
    if missing := unmeasured(spec, folder.parent / STORE):
        raise _refusal(f"{folder}: {missing} is not in {folder.parent / STORE}")
    artifact = ANALYSIS.start(spec, folder, workers)
    keep_asked(artifact.path)
    return artifact


def _study(document: YamlDocument, folder: Path, workers: int) -> Artifact:
    study = validate(document, StudySpec).model_copy(update={"steps_on": "here"})
    assert isinstance(study, StudySpec)
    _load_scorers(study.analysis, folder / STEPS / STORE)
    return STUDY.start(study, folder, workers, failed=_failed(steps_of(study), folder))


def _load_scorers(spec: AnalysisSpec, store: Path) -> None:
    """Raise what a scorer raises that cannot be had, or lacks the attribute, before any measurement is scored."""
    subject = Subject(LazyModel(spec.model), Workspace(store, store))
    for name, options in spec.evaluations().items():
        EVALUATIONS.get(name)(options, subject).load_scorers()


def _failed(steps: list[StudyStep], folder: Path) -> dict[str, str]:
    """The steps that failed when the study was run, with their sentences. Raises InputError where another would have to
    be made with a model or a machine.
    """
    rows = json.loads((folder / STEPS_FILE).read_text(encoding="utf-8"))
    before = {row["name"]: row["detail"] for row in rows if row["state"] == "failed"}
    ledger = Ledger(folder.absolute(), steps)
    failed = {}
    for step in steps:
        ledger.skip_orphans()
        if ledger.state.get(step.name) == "skipped":
            continue
        missing = _missing(step, ledger)
        if missing is not None and step.name not in before:
            raise _refusal(f"{folder}: {step.name}: {missing}")
        if missing is not None:
            failed[step.name] = before[step.name]
            ledger.set(step.name, "failed")
    return failed


def _missing(step: StudyStep, ledger: Ledger) -> str | None:
    """What of a step is not there but for scores; None where all is, which the ledger then knows."""
    spec, target = step.make(ledger.paths), target_of(step, ledger.folder)
    if isinstance(spec, AnalysisSpec):
        lost = unmeasured(spec, ledger.folder / STEPS / STORE)
        return f"{lost} is not in the study's store" if lost else None
    artifact = finished(stage_of(step.kind), spec, target)
    if artifact is None:
        return "is not there as the study has it"
    ledger.done(step.name, artifact.path)
    return None


def _refusal(missing: str) -> InputError:
    return InputError(f"{missing}; rescoring generates and trains nothing: `hormesis run` with its YAML makes it anew")
