"""What an evaluation measured of a subject, as an artifact in the store: its rows as they are before any scorer.

Model, recipe with its strengths, options and inputs make its fingerprint; scorers and labels (alias, arm, seed, the
budget that a strength was found for) do not, so changing those measures nothing. Each evaluation has its own, so one
more leaves the others as they are. It is made under a lease, chunk by chunk, and appears whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated, Any

import polars as pl

from analysis.evaluations import EVALUATIONS, Evaluation
from analysis.results import SCHEMA, PromptScore, Row, Score
from analysis.spec import AnalysisSpec
from infra.artifacts.artifact import Artifact, fingerprint_of
from infra.artifacts.records import JsonObject
from infra.atomic import atomic_path
from infra.config.identity import NotIdentity
from infra.config.spec import Spec
from infra.stages.stage import Identity, Stage, Workspace, finished
from mixtures.store.inner import inner_stage, make
from posttrain.shared import labels_fingerprint
from pretrain.huggingface.location import fingerprint

CHUNKS = "chunks"
"""Folder of the artifact with one Parquet file a chunk."""


class MeasuredSpec(Spec):
    """One evaluation of an analysis."""

    evaluation: str
    """Its name."""
    analysis: Annotated[AnalysisSpec, NotIdentity]
    """The analysis; its recipe has its strengths."""


def measure(
    spec: AnalysisSpec, name: str, evaluation: Evaluation[Any], workspace: Workspace, advance: Callable[[int], None]
) -> Artifact:
    """What `evaluation` measures, from the store or made now. The recipe of `spec` has its strengths; `advance` is
    called with every chunk that is done. Raises what the evaluation raises.
    """
    if measured(spec, name, workspace.store) is not None:
        advance(evaluation.chunks())
    asked = MeasuredSpec(evaluation=name, analysis=spec)
    stage = _stage(name, partial(_run, evaluation=evaluation, advance=advance))
    return make(stage, asked, _folder(stage, asked, workspace.store), workspace)


def measured(spec: AnalysisSpec, name: str, store: Path) -> Artifact | None:
    """What an evaluation measured, where it is in `store` and whole; None where it would have to be measured."""
    stage, asked = _stage(name, _not_run), MeasuredSpec(evaluation=name, analysis=spec)
    return finished(stage, asked, _folder(stage, asked, store))


@dataclass(frozen=True)
class Stored:
    """The measured rows of an evaluation of the analysis `spec`, whose recipe has its strengths: from the store, or
    measured when they are first asked for.
    """

    spec: AnalysisSpec
    name: str
    evaluation: Evaluation[Any]

    def chunks(self) -> int:
        """As many as the evaluation has."""
        return self.evaluation.chunks()

    def rows(self, chunk: int) -> list[Row]:
        """Those of one chunk. Raises what measuring raises."""
        return read_rows(self._files[chunk])

    @cached_property
    def _files(self) -> list[Path]:
        workspace = self.evaluation.subject.workspace
        return files_of(measure(self.spec, self.name, self.evaluation, workspace, lambda _: None))


def files_of(artifact: Artifact) -> list[Path]:
    """The files of an artifact's chunks, in their order."""
    return [artifact.path / name for name in sorted(artifact.files) if name.startswith(f"{CHUNKS}/")]


def _stage(name: str, run: Callable[[MeasuredSpec, Workspace], JsonObject]) -> Stage[MeasuredSpec]:
    return inner_stage("measured", MeasuredSpec, _identity, run, version=EVALUATIONS.get(name).version)


def _not_run(spec: MeasuredSpec, workspace: Workspace) -> JsonObject:
    raise AssertionError("a stage of which only the fingerprint is asked")


def _folder(stage: Stage[MeasuredSpec], spec: MeasuredSpec, store: Path) -> Path:
    return store / f"measured-{spec.evaluation}-{stage.fingerprint(spec)[:12]}"


def _identity(spec: MeasuredSpec) -> Identity:
    """Nothing of scorers, and of labels nothing."""
    kind, analysis = EVALUATIONS.get(spec.evaluation), spec.analysis
    config = spec.identity() | {
        "options": kind.measured_identity(analysis.evaluations()[spec.evaluation]),
        "strengths": [entry.strength for entry in analysis.recipe],
        "transfer": analysis.transfer,
    }
    inputs = {"model": fingerprint(analysis.model)}
    inputs |= {f"steering-{n}": fingerprint_of(e.steering, "posttrain") for n, e in enumerate(analysis.recipe, 1)}
    if "mixture" in kind.reads and analysis.mixture is not None:
        inputs["mixture"] = fingerprint_of(analysis.mixture, "mixture")
    if "labelled" in kind.reads and analysis.labelled is not None:
        config["labelled"] = analysis.labelled.identity()
        inputs["labelled"] = labels_fingerprint(analysis.labelled)
    if "generations" in kind.reads and analysis.toxicity is not None:
        config["generations"] = EVALUATIONS.get("toxicity").measured_identity(analysis.toxicity)
    return Identity(config, inputs)


def _run(
    spec: MeasuredSpec, workspace: Workspace, evaluation: Evaluation[Any], advance: Callable[[int], None]
) -> JsonObject:
    """Measure the chunks that no earlier, killed run has measured. Returns counts."""
    rows = 0
    for chunk in range(evaluation.chunks()):
        file = workspace.path / CHUNKS / f"{chunk:05d}.parquet"
        if not file.exists():
            with atomic_path(file) as path:
                write_rows(evaluation.rows(chunk), path)
        rows += pl.scan_parquet(file).select(pl.len()).collect().item()
        advance(1)
    return {"rows": rows, **evaluation.counts()}


def write_rows(rows: Iterable[Row], path: Path) -> None:
    """Write measured rows, in the types that the results table has."""
    schema = {field.name: SCHEMA[field.name] for field in fields(Row)}
    table = pl.DataFrame([asdict(row) for row in rows], schema=schema)
    table.write_parquet(path, compression="zstd", compression_level=3)


def read_rows(path: Path) -> list[Row]:
    """The rows of a file; columns that are younger than it have their defaults."""
    return [_row(record) for record in pl.read_parquet(path).iter_rows(named=True)]


def _row(record: dict[str, Any]) -> Row:
    nested = {"prompt_scores": PromptScore, "scores": Score}
    told = {
        name: tuple(kind(**value) for value in record[name])
        for name, kind in nested.items()
        if record[name] is not None
    }
    return Row(**record | told)
