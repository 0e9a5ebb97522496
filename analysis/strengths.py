"""The strengths of a recipe: those that it gives, and the one that is found for its budget.

What was found is an artifact in the store: a strength is found once, whatever is measured and scored at it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from analysis.evaluations.base import LazyModel, Subject
from analysis.evaluations.options import TextsSpec
from analysis.spec import AnalysisSpec, BudgetDocumentsSpec, MeasuredEntry
from curation.sources.input_files import content_of
from infra.artifacts.artifact import fingerprint_of
from infra.artifacts.records import JsonObject, read_record
from infra.atomic import write_json
from infra.config.identity import NotIdentity
from infra.config.spec import Spec
from infra.errors import AmountError
from infra.stages.stage import Identity, Stage, Workspace, finished
from mixtures.store.inner import inner_stage, make
from pretrain.huggingface.location import fingerprint

if TYPE_CHECKING:
    from posttrain.strength import FoundStrength

STRENGTH = "strength.json"
"""The strength that was found, in the artifact."""


class StrengthSpec(Spec):
    """The strength of an analysis whose recipe has a budget."""

    analysis: Annotated[AnalysisSpec, NotIdentity]
    """The analysis."""


def find_for_budget(spec: AnalysisSpec, subject: Subject) -> FoundStrength | None:
    """The strength of the recipe's free method, from the store or found now, and kept in the subject's work folder;
    None where all strengths are given. Raises AmountError where `cross_entropy` leaves too few documents.
    """
    from posttrain.strength import FoundStrength

    if spec.budget is None:
        return None
    stage, asked = _stage(partial(_run, subject=subject)), StrengthSpec(analysis=spec)
    folder = _folder(stage, asked, subject.workspace.store)
    solution = read_record(FoundStrength, make(stage, asked, folder, subject.workspace).path / STRENGTH)
    write_json(subject.workspace.path / STRENGTH, asdict(solution))
    return solution


def found_for_budget(spec: AnalysisSpec, store: Path) -> FoundStrength | None:
    """The strength of a recipe with a budget where it was found and is in `store`; None where it would have to be."""
    from posttrain.strength import FoundStrength

    stage, asked = _stage(_not_run), StrengthSpec(analysis=spec)
    artifact = finished(stage, asked, _folder(stage, asked, store))
    return None if artifact is None else read_record(FoundStrength, artifact.path / STRENGTH)


def _stage(run: Callable[[StrengthSpec, Workspace], JsonObject]) -> Stage[StrengthSpec]:
    return inner_stage("strength", StrengthSpec, _identity, run, version=2)


def _not_run(spec: StrengthSpec, workspace: Workspace) -> JsonObject:
    raise AssertionError("a stage of which only the fingerprint is asked")


def _folder(stage: Stage[StrengthSpec], spec: StrengthSpec, store: Path) -> Path:
    return store / f"strength-{stage.fingerprint(spec)[:12]}"


def _identity(asked: StrengthSpec) -> Identity:
    """Model, recipe, and the documents: not what else is measured, and no labels."""
    spec = asked.analysis
    inputs = {"model": fingerprint(spec.model)}
    if spec.mixture is not None:
        inputs["mixture"] = fingerprint_of(spec.mixture, "mixture")
    inputs |= {f"steering-{n}": fingerprint_of(e.steering, "posttrain") for n, e in enumerate(spec.recipe, 1)}
    if spec.cost_from is not None:
        inputs["cost_from"] = fingerprint(spec.cost_from)
    strengths = [None if entry.budget is not None else entry.strength for entry in spec.recipe]
    measured = () if spec.cross_entropy is None else spec.cross_entropy.measured.values()
    not_of = [[_source_identity(read), read.max_documents] for read in measured]
    documents = {"documents": budget_identity(spec.budget_documents), "not_of": not_of}
    return Identity({"budget": spec.budget, "strengths": strengths, "transfer": spec.transfer, **documents}, inputs)


def _run(asked: StrengthSpec, workspace: Workspace, subject: Subject) -> JsonObject:
    from posttrain.fitted import load_fitted
    from posttrain.strength import find_strength

    spec = asked.analysis
    assert spec.budget is not None  # who has none asks for no strength
    fits = [(load_fitted(e.steering), None if e.budget is not None else e.strength) for e in spec.recipe]
    solution = find_strength(
        subject.model.loaded,
        fits,
        budget_documents(spec),
        spec.budget,
        reference=LazyModel(spec.cost_from, spec.device).loaded if spec.cost_from else None,
        max_tokens_per_document=spec.budget_documents.max_tokens_per_document,
        transfer=spec.transfer,
    )
    write_json(workspace.path / STRENGTH, asdict(solution))
    return {"strength": solution.strength}


def with_strength(recipe: Sequence[MeasuredEntry], solution: FoundStrength | None) -> tuple[MeasuredEntry, ...]:
    """The recipe with the strength that was found in place of its budget."""
    return tuple(
        entry if solution is None or entry.budget is None else entry.model_copy(update={"strength": solution.strength})
        for entry in recipe
    )


def budget_identity(options: BudgetDocumentsSpec) -> dict[str, Any]:
    """What of the section enters a fingerprint: its keys, and the content of a file."""
    return options.identity() | {"source": _source_identity(options)}


def _source_identity(options: TextsSpec) -> object:
    return options.component if options.texts is None else content_of(options.texts)


def budget_documents(spec: AnalysisSpec) -> list[str]:
    """Texts of the documents on which a strength is found: the first that `cross_entropy` does not measure."""
    # These read with polars, which `validate` does not need.
    from analysis.evaluations.held_out import documents_of, measured_documents

    options, sections = spec.budget_documents, spec.cross_entropy.measured.values() if spec.cross_entropy else ()
    measured = {text for section in sections for _, text in measured_documents(section, spec.mixture)}
    chosen: list[str] = []
    read = 0
    for _, text in documents_of(options, spec.mixture):
        read += 1
        chosen += [] if text in measured else [text]
        if len(chosen) == options.documents:
            return chosen
    raise AmountError(
        f"the strength of a budget is found on {options.documents} {options.source_name} that cross_entropy does not "
        f"measure; there are {read} and cross_entropy measures {read - len(chosen)}: hold out more, or lower "
        "cross_entropy.max_documents or budget_documents.documents"
    )
