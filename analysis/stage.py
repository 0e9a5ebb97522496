"""`kind: analysis`: one subject through every evaluation that is asked for, into `results.parquet`.

What is measured is kept in the store (`analysis.measured`); what is done here anew for other scorers or labels is to
score it.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.evaluations import EVALUATIONS, Evaluation
from analysis.evaluations.base import Generations, LazyModel, Subject
from analysis.spec import AnalysisSpec, MeasuredEntry
from analysis.strengths import budget_identity, find_for_budget, found_for_budget, with_strength
from infra.artifacts.artifact import Artifact, fingerprint_of
from infra.atomic import atomic_path
from infra.config.spec import Spec
from infra.render.page import Page, Plan, Table
from infra.stages.stage import Identity, Stage, Workspace
from posttrain.shared import labels_fingerprint
from pretrain.huggingface.location import fingerprint
from pretrain.launchers import launched
from pretrain.processes.sbatch import batch_script

if TYPE_CHECKING:
    import polars as pl

    from analysis.results import Labels
    from posttrain.strength import FoundStrength

_PARTS = "parts"
_NOTES = {
    "prompts_cut": "are longer than the context has room for and lost their beginning",
    "prompts_left_out": "are empty or repeated and were left out",
}


def identity(spec: AnalysisSpec) -> Identity:
    """Options of the evaluations, labels, and the fingerprints of model, steering and mixture. Where a strength is
    found, also how.
    """
    evaluations = {name: _identity_of(name, options) for name, options in spec.evaluations().items()}
    inputs = {"model": fingerprint(spec.model)}
    if spec.labelled is not None:
        inputs["labelled"] = labels_fingerprint(spec.labelled)
    for number, entry in enumerate(spec.recipe, 1):
        inputs[f"steering-{number}"] = fingerprint_of(entry.steering, "posttrain")
    if spec.mixture is not None:
        inputs["mixture"] = fingerprint_of(spec.mixture, "mixture")
    config = spec.identity() | {"evaluations": evaluations}
    if spec.budget is not None:
        config["budget_documents"] = budget_identity(spec.budget_documents)
        if spec.cost_from is not None:
            inputs["cost_from"] = fingerprint(spec.cost_from)
    return Identity(config, inputs)


def _identity_of(name: str, options: Spec) -> dict[str, Any]:
    """Of an evaluation, with its version where that is not the first."""
    kind = EVALUATIONS.get(name)
    return kind.identity(options) | ({"version": kind.version} if kind.version > 1 else {})


def run(spec: AnalysisSpec, workspace: Workspace) -> dict[str, int | float]:
    """Find the strength of a budget, measure what is not in the store yet, then score it. Returns counts."""
    import polars as pl

    from analysis import results

    model = LazyModel(spec.model, spec.device)
    given = Subject(model, workspace, spec.recipe, spec.mixture, spec.labelled, spec.transfer)
    solution = find_for_budget(spec, given)
    definite = spec.model_copy(update={"recipe": with_strength(spec.recipe, solution)})
    evaluations = _evaluations(definite, _with_generations(definite, replace(given, recipe=definite.recipe)))
    artifacts = _measure(definite, evaluations, workspace)
    table = _score(_labels(spec, solution), evaluations, artifacts, workspace)
    unscored = table.filter((pl.col("evaluation") == results.TOXICITY) & pl.col("value").is_null())
    if len(unscored):
        reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(unscored["reason"].value_counts().rows()))
        workspace.note(f"{len(unscored)} generations have no score and are counted as unscored: {reasons}")
    told = {key: n for artifact in artifacts.values() for key, n in artifact.counts.items() if key != "rows"}
    for key, count in told.items():
        of_set, _, what = key.rpartition(".")
        if count and what in _NOTES:
            workspace.note(f"{count} prompts{f' of the set {of_set}' if of_set else ''} {_NOTES[what]}")
    strength = {} if solution is None else {"strength": solution.strength, "cost": solution.cost.value}
    return {"rows": len(table), "unscored": len(unscored), **strength, **told, **_summary(table)}


def _evaluations(spec: AnalysisSpec, subject: Subject) -> dict[str, Evaluation[Any]]:
    """The evaluations that apply to the subject, ready to score."""
    import torch

    asked = {name: EVALUATIONS.get(name)(options, subject) for name, options in spec.evaluations().items()}
    applying = {name: evaluation for name, evaluation in asked.items() if evaluation.chunks()}
    threads = torch.get_num_threads()
    for evaluation in applying.values():
        evaluation.load_scorers()
    torch.set_num_threads(threads)  # a transformer scorer takes as few as it is told, and the model is to have all
    return applying


def _with_generations(spec: AnalysisSpec, subject: Subject) -> Subject:
    """The subject with what `toxicity` has it write, where that is asked for: from the store, or measured first."""
    from analysis.measured import Stored

    if spec.toxicity is None:
        return subject
    evaluation = EVALUATIONS.get("toxicity")(spec.toxicity, subject)
    return replace(subject, generations=Generations(spec.toxicity, Stored(spec, "toxicity", evaluation)))


def _measure(
    spec: AnalysisSpec, evaluations: Mapping[str, Evaluation[Any]], workspace: Workspace
) -> dict[str, Artifact]:
    """What every evaluation measures; what is looked at by another comes before it."""
    from analysis.measured import measure  # reads with polars, which `validate` does not need

    order = sorted(evaluations, key=lambda name: "generations" in EVALUATIONS.get(name).reads)

    chunks = sum(evaluation.chunks() for evaluation in evaluations.values())
    with workspace.progress("measuring", chunks, "chunks") as advance:
        return {name: measure(spec, name, evaluations[name], workspace, advance) for name in order}


def _score(
    labels: Labels, evaluations: Mapping[str, Evaluation[Any]], artifacts: Mapping[str, Artifact], workspace: Workspace
) -> pl.DataFrame:
    """Score what was measured, but for the chunks that an earlier, killed run has scored, and join them in the results.
    Raises ScoringError where no text could be scored.
    """
    from analysis import results
    from analysis.evaluations.toxicity import refuse_unscored
    from analysis.measured import files_of, read_rows

    work = [(name, file) for name, artifact in artifacts.items() for file in files_of(artifact)]
    parts = []
    with workspace.progress("scoring", len(work), "chunks") as advance:
        for name, file in work:
            part = workspace.path / _PARTS / f"{name}-{file.name}"
            if not part.exists():
                rows = evaluations[name].scored(read_rows(file))
                with atomic_path(part) as path:
                    results.write(results.frame(labels, name, rows), path)
            parts.append(part)
            advance(1)
    table = results.read(parts)
    try:
        refuse_unscored(table)
        with atomic_path(workspace.path / results.FILE) as path:
            results.write(table, path)
    finally:
        shutil.rmtree(workspace.path / _PARTS, ignore_errors=True)
    return table


def unmeasured(spec: AnalysisSpec, store: Path) -> str | None:
    """What the model would be needed for: what is not in `store` of all that the specification asks for; None where
    only scoring is left.
    """
    from analysis.measured import measured

    solution = found_for_budget(spec, store) if spec.budget is not None else None
    if spec.budget is not None and solution is None:
        return f"the strength of {spec.budget:g} nats"
    definite = spec.model_copy(update={"recipe": with_strength(spec.recipe, solution)})
    plain = Subject(LazyModel(spec.model), Workspace(store, store), definite.recipe, spec.mixture, spec.labelled)
    subject = _with_generations(definite, plain)
    for name, options in spec.evaluations().items():
        if EVALUATIONS.get(name)(options, subject).chunks() and measured(definite, name, store) is None:
            return f"what {name} measured"
    return None


def _labels(spec: AnalysisSpec, solution: FoundStrength | None) -> Labels:
    """What the results table says of the subject in every row."""
    from analysis.results import Labels

    arm, free = spec.arm, spec.free
    strength = solution.strength if solution else free.strength if free else 0.0
    recipe = (_name(spec), strength, spec.budget)
    return Labels(arm.name, arm.dose, arm.policy, arm.mixture, spec.seed, *recipe, arm.step)


def _name(spec: AnalysisSpec) -> str:
    """What the recipe is called."""
    from posttrain.fitted import load_fitted

    if spec.alias is not None:
        return spec.alias
    return " + ".join(entry.alias or load_fitted(entry.steering).method for entry in spec.recipe) or "none"


def _summary(table: pl.DataFrame) -> dict[str, float]:
    """The headline figures, for `status` and for whoever opens artifact.json."""
    from analysis.statistics.frames import arms_table

    row = arms_table(table).to_dicts()
    figures = ("toxicity", "toxic_share", "expected_maximum", "cross_entropy")
    return {name: row[0][name] for name in figures if row and row[0][name] is not None}


def plan(spec: AnalysisSpec) -> Plan:
    """What will be measured on what."""
    subject = (
        ("model", spec.model),
        ("recipe", " + ".join(map(_entry_words, spec.recipe)) or "none"),
        ("arm", f"{spec.arm.name}, seed {spec.seed}"),
    )
    rows = tuple((name, key, value) for name, options in spec.evaluations().items() for key, value in _facts(options))
    tables = (
        Table("Subject", ("what", "value"), subject),
        Table("Evaluations", ("evaluation", "option", "value"), rows),
    )
    scripts = batch_script(spec.launcher, spec.name, [Path("runs") / spec.name])
    return Plan(f"analysis {spec.name}", tables, ("forward passes only; nothing is trained",), scripts)


def _entry_words(entry: MeasuredEntry) -> str:
    """An entry of a recipe, such as `runs/iti at 0.05 nats`."""
    setting = f"strength {entry.strength:g}" if entry.budget is None else f"{entry.budget:g} nats"
    return f"{entry.steering} at {setting}"


def _facts(options: Spec) -> list[tuple[str, object]]:
    """Options that say something, one line each; a section stands for itself by its path or name."""
    facts: list[tuple[str, object]] = []
    for key, value in options.model_dump().items():
        if isinstance(value, dict) and value:
            facts.append((key, value.get("path") or value.get("name") or ", ".join(map(str, value))))
        elif value not in (None, (), {}):
            facts.append((key, value))
    return facts


def show(artifact: Artifact) -> Page:
    """Figures, the best heads and some generations, blurred until asked."""
    from analysis.page import analysis_page

    return analysis_page(artifact)


ANALYSIS: Stage[AnalysisSpec] = launched(
    Stage(kind="analysis", version=3, spec=AnalysisSpec, identity=identity, run=run, plan=plan, show=show)
)
