"""The items of capability's tasks, as the columns that their definitions read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from analysis.evaluations.options import CapabilityTaskSpec
from curation.sources.read import read_source
from infra.errors import AmountError

ITEMS_OF_A_TASK = 1_000_000
"""Items that a task may have: the results number an item task * this + item."""
OWN_FORMS = ("choices",)
"""Tasks that are defined here and not by the harness."""


@dataclass(frozen=True)
class Questions:
    """The items of one task, as the columns of its definition; `subject` is '' where the task has none."""

    options: CapabilityTaskSpec
    subject: str
    items: tuple[Mapping[str, Any], ...]

    @property
    def label(self) -> str:
        """How the results name the task."""
        name = self.options.name or self.options.task
        return f"{name}/{self.subject}" if self.subject else name

    @property
    def definition(self) -> str:
        """The harness's name of the task."""
        own = self.options.file is not None or self.options.task in OWN_FORMS
        return self.options.task if own or not self.subject else f"{self.options.task}_{self.subject}"


def read_questions(options: CapabilityTaskSpec) -> list[Questions]:
    """The items of a task, by subject in the order of the file. Raises AmountError where there are none."""
    by_subject: dict[str, list[Mapping[str, Any]]] = {}
    for document in read_source(options.items):
        columns = {key.rpartition(".")[2]: value for key, value in document.metadata.items()}
        item = {"query": document.text, options.items.text.rpartition(".")[2]: document.text, **columns}
        by_subject.setdefault(str(item.get("subject") or ""), []).append(item)
    if not by_subject:
        raise AmountError(f"{options.items.path}: no items for {options.task}")
    if longest := next((name for name, items in by_subject.items() if len(items) >= ITEMS_OF_A_TASK), None):
        raise AmountError(f"{options.task} {longest}: more than {ITEMS_OF_A_TASK} items")
    return [Questions(options, subject, tuple(items)) for subject, items in by_subject.items()]
