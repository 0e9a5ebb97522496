"""`kind: analysis`: one subject through every evaluation that is asked for, into `results.parquet`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.evaluations import EVALUATIONS, Evaluation
from analysis.evaluations.base import Subject
from analysis.spec import AnalysisSpec
from infra.artifacts.artifact import Artifact, fingerprint_of
from infra.atomic import atomic_path
from infra.config.spec import Spec
from infra.render.page import Page, Plan, Table
from infra.stages.stage import Identity, Stage, Workspace
from pretrain.huggingface.location import fingerprint

if TYPE_CHECKING:
    import polars as pl

RESULTS = "results.parquet"
_PARTS = "parts"


def identity(spec: AnalysisSpec) -> Identity:
    """Options of the evaluations, labels, and the fingerprints of model, steering and mixture."""
    evaluations = {name: EVALUATIONS.get(name).identity(options) for name, options in spec.asked().items()}
    inputs = {"model": fingerprint(spec.model)}
    if spec.labelled is not None:
        inputs["labelled"] = fingerprint_of(spec.labelled.mixture, "mixture")
    if spec.steering is not None:
        inputs["steering"] = fingerprint_of(spec.steering, "posttrain")
    if spec.mixture is not None:
        inputs["mixture"] = fingerprint_of(spec.mixture, "mixture")
    return Identity(spec.identity() | {"evaluations": evaluations}, inputs)


def run(spec: AnalysisSpec, workspace: Workspace) -> dict[str, Any]:
    """Measure what no earlier, killed run of the same work has measured, then join the parts. Returns counts."""
    import polars as pl

    from analysis import results

    labels = _labels(spec)
    subject = Subject(spec.model, spec.steering, spec.strength, spec.mixture, spec.labelled, spec.device)
    evaluations = [(name, EVALUATIONS.get(name)(options, subject)) for name, options in spec.asked().items()]
    work = [(name, each, chunk) for name, each in evaluations for chunk in range(each.chunks())]
    parts = []
    with workspace.progress("measuring", len(work), "chunks") as advance:
        for name, evaluation, chunk in work:
            part = workspace.path / _PARTS / f"{name}-{chunk:05d}.parquet"
            if not part.exists():
                _measure(evaluation, chunk, {**labels, "evaluation": name}, part)
            parts.append(part)
            advance(1)
    table = results.read(parts)
    with atomic_path(workspace.path / RESULTS) as path:
        results.write(table, path)
    shutil.rmtree(workspace.path / _PARTS, ignore_errors=True)
    unscored = table.filter((pl.col("evaluation") == results.TOXICITY) & pl.col("value").is_null())
    if len(unscored):
        reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(unscored["reason"].value_counts().rows()))
        workspace.note(f"{len(unscored)} generations have no score and are counted as unscored: {reasons}")
    return {"rows": len(table), "unscored": len(unscored), **_summary(table)}


def _measure(evaluation: Evaluation, chunk: int, labels: dict[str, Any], part: Path) -> None:
    from analysis import results

    rows = evaluation.rows(chunk)
    with atomic_path(part) as path:
        results.write(results.frame([{**labels, **row} for row in rows]), path)


def _labels(spec: AnalysisSpec) -> dict[str, Any]:
    """What the results table says of the subject in every row."""
    from posttrain.fitted import load_fitted

    method = "none" if spec.steering is None else load_fitted(spec.steering).method
    arm = spec.arm
    labels = {"arm": arm.name, "dose": arm.dose, "policy": arm.policy, "mixture": arm.mixture, "seed": spec.seed}
    return {**labels, "method": method, "strength": spec.strength}


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
        ("steering", spec.steering or "none"),
        ("strength", spec.strength),
        ("arm", f"{spec.arm.name}, seed {spec.seed}"),
    )
    rows = tuple((name, key, value) for name, options in spec.asked().items() for key, value in _facts(options))
    tables = (
        Table("Subject", ("what", "value"), subject),
        Table("Evaluations", ("evaluation", "option", "value"), rows),
    )
    return Plan(f"analysis {spec.name}", tables, ("forward passes only; nothing is trained",))


def _facts(options: Spec) -> list[tuple[str, object]]:
    """Options that say something, one line each; a section stands for itself by its path or name."""
    found: list[tuple[str, object]] = []
    for key, value in options.model_dump().items():
        if isinstance(value, dict) and value:
            found.append((key, value.get("path") or value.get("name") or ", ".join(map(str, value))))
        elif value not in (None, (), {}):
            found.append((key, value))
    return found


def show(artifact: Artifact) -> Page:
    """Figures, the best heads and some generations, blurred until asked."""
    from analysis.page import analysis_page

    return analysis_page(artifact)


ANALYSIS: Stage[AnalysisSpec] = Stage(
    kind="analysis", version=1, spec=AnalysisSpec, identity=identity, run=run, plan=plan, show=show
)
