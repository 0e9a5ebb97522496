"""The strengths of a recipe: those that it gives, and the one that is found for its budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.evaluations.base import LazyModel, Subject
from analysis.spec import AnalysisSpec, MeasuredEntry
from infra.artifacts.records import read_record
from infra.atomic import write_json
from infra.errors import AmountError

if TYPE_CHECKING:
    from posttrain.strength import FoundStrength

STRENGTH = "strength.json"
"""The strength that was found, in the artifact."""


def find_for_budget(spec: AnalysisSpec, subject: Subject, folder: Path) -> FoundStrength | None:
    """The strength of the recipe's free method, kept in `folder` so that a killed run finds it once; None where all
    strengths are given. Raises AmountError where `cross_entropy` leaves too few documents.
    """
    from posttrain.fitted import load_fitted
    from posttrain.strength import FoundStrength, find_strength

    if spec.budget is None:
        return None
    if not (folder / STRENGTH).exists():
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
        write_json(folder / STRENGTH, asdict(solution))
    return read_record(FoundStrength, folder / STRENGTH)


def with_strength(recipe: Sequence[MeasuredEntry], solution: FoundStrength | None) -> tuple[MeasuredEntry, ...]:
    """The recipe with the strength that was found in place of its budget."""
    return tuple(
        entry if solution is None or entry.budget is None else entry.model_copy(update={"strength": solution.strength})
        for entry in recipe
    )


def budget_documents(spec: AnalysisSpec) -> list[str]:
    """Texts of the documents on which a strength is found: the first that `cross_entropy` does not measure."""
    from analysis.evaluations.held_out import held_out_documents  # reads with polars, which `validate` does not need

    options, measured = spec.budget_documents, spec.cross_entropy
    assert spec.mixture is not None  # the specification has checked it
    documents = held_out_documents(spec.mixture, options.component)
    taken = 0
    if measured is not None and measured.component == options.component:
        taken = measured.max_documents or len(documents)
    if len(documents) < taken + options.documents:
        raise AmountError(
            f"the strength of a budget is found on {options.documents} held-out documents of {options.component!r} "
            f"that cross_entropy does not measure; there are {len(documents)} and cross_entropy measures {taken}: hold "
            "out more, or lower cross_entropy.max_documents or budget_documents.documents"
        )
    return [text for _, text in documents[taken : taken + options.documents]]
