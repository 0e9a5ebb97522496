"""From the artifacts of a study's steps to the input of its report."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from analysis import results
from analysis.report.input import (
    ArmRecord,
    Composition,
    FailureRecord,
    FoundCost,
    ReportInput,
    ShownTraining,
    StepRecord,
    StrengthRecord,
)
from analysis.report.words import arm_words
from analysis.strengths import STRENGTH
from analysis.study.arms import Arm, arms_of
from analysis.study.ledger import Ledger
from analysis.study.recipes import recipes_of
from analysis.study.spec import StudySpec
from curation.scorers import card_of
from infra.artifacts.artifact import read_artifact
from infra.artifacts.records import read_record
from mixtures.formats.file_names import MANIFEST
from pretrain.files import SUMMARY


def assemble(study: StudySpec, ledger: Ledger) -> ReportInput:
    """Everything the report shows; arms whose training failed are among the failures only."""
    measured = [step.name for step in ledger.steps if step.kind == "analysis" and step.name in ledger.paths]
    return ReportInput(
        title=study.name,
        results=results.read([ledger.paths[name] / results.FILE for name in measured]),
        arms=tuple(_arm(arm, ledger) for arm in arms_of(study) if arm.model in ledger.paths),
        steps=tuple(_step(step.name, ledger) for step in ledger.steps if step.name in ledger.paths),
        failures=tuple(
            FailureRecord(step.name, step.kind, why)
            for state in ("failed", "skipped")
            for step, why in ledger.having(state)
        ),
        ce_budget=study.ce_budget,
        ce_budget_of=study.ce_budget_of,
        strengths=tuple(_strengths(study, ledger)),
        published=study.published,
        notes=(*_blind_spots(study), *_notes(ledger)),
        synthetic=is_synthetic(study),
    )


def is_synthetic(study: StudySpec) -> bool:
    """Whether any corpus comes from a generator."""
    sources = [source for corpus in study.curation.corpora.values() for source in corpus.sources]
    return any(source.path.startswith("synthetic:") for source in sources)


def _blind_spots(study: StudySpec) -> list[str]:
    """What the scorer of the study is known not to see."""
    toxicity = study.analysis.toxicity
    if toxicity is None:
        return []
    spots = card_of(toxicity.scorer).blind_spots
    return [f"Toxicity is what the study's scorer says, not what people would: {spots}."]


def _arm(arm: Arm, ledger: Ledger) -> ArmRecord:
    return ArmRecord(
        name=arm.label,
        dose=arm.dose,
        policy=arm.policy,
        seed=arm.seed,
        mixture=arm.mixture,
        composition=read_record(Composition, ledger.paths[arm.mixture] / MANIFEST),
        training=read_record(ShownTraining, ledger.paths[arm.model] / SUMMARY),
    )


def _strengths(study: StudySpec, ledger: Ledger) -> Iterator[StrengthRecord]:
    """What was found for budgets, arm by arm."""
    for arm in arms_of(study):
        for recipe in recipes_of(study):
            step = arm.measure(recipe)
            if recipe.setting.by_budget and step in ledger.paths:
                solution = read_record(_Solution, ledger.paths[step] / STRENGTH)
                yield StrengthRecord(
                    arm_words(arm.dose, arm.policy, arm.mixture),
                    arm.seed,
                    recipe.alias,
                    solution.budget,
                    solution.strength,
                    solution.cost,
                    solution.reached,
                )


@dataclass(frozen=True)
class _Solution:
    """What the report shows of a `strength.json`."""

    budget: float
    strength: float
    cost: FoundCost
    reached: bool


def _step(name: str, ledger: Ledger) -> StepRecord:
    artifact = read_artifact(ledger.paths[name])
    began, ended = (datetime.fromisoformat(time) for time in (artifact.started, artifact.ended))
    seconds = (ended - began).total_seconds()
    return StepRecord(name, artifact.kind, artifact.fingerprint, artifact.config, seconds, artifact.counts)


def _notes(ledger: Ledger) -> list[str]:
    """What the steps had to say, each line once."""
    lines = [note for path in ledger.paths.values() for note in read_artifact(path).notes]
    return list(dict.fromkeys(lines))
