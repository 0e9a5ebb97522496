"""The evaluation `capability`: questions with known answers, asked by lm-evaluation-harness of the steered model.

A steering method that makes a model harmless by making it dumb is seen here. The questions come from local files or
from data files of a wheel, their form (prompt, choices, metric) from the harness's own task definitions, so a figure is
the harness's figure where the items are the same.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from analysis.evaluations.base import Evaluation
from analysis.evaluations.options import CapabilitySpec, CapabilityTaskSpec
from analysis.results import Row, Score
from curation.sources.input_files import content_of
from curation.sources.read import read_source
from infra.artifacts.inputs import input_digests
from infra.errors import AmountError, UnavailableError

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


class Capability(Evaluation[CapabilitySpec]):
    """A task (of MMLU: a subject) is a chunk."""

    options = CapabilitySpec

    @staticmethod
    def identity(options: CapabilitySpec) -> dict[str, Any]:
        """Options, the content of the items and of own task files, and the harness's version, whose prompts these are.
        Raises UnavailableError where it is not installed.
        """
        tasks = [
            [task.identity(), content_of(task.items), input_digests([task.file]) if task.file else []]
            for task in options.tasks
        ]
        return {**options.identity(), "tasks": tasks, "harness": harness_version()}

    def chunks(self) -> int:
        """One a task and subject."""
        return len(self._questions)

    def rows(self, chunk: int) -> list[Row]:
        """One row an item; the task's further metrics are among its scores."""
        from analysis.evaluations.harness_tasks import answers

        questions = self._questions[chunk]
        scorer = f"lm-evaluation-harness@{harness_version()}"
        rows = []
        for answer in answers(questions, self.subject.steered, self.spec.seed):
            others = tuple(Score(scorer, name, value) for name, value in answer.others.items())
            rows.append(
                Row(
                    prompt=chunk * ITEMS_OF_A_TASK + answer.item,
                    prompt_id=f"{questions.label}/{answer.item}",
                    generation=answer.text,
                    value=answer.value,
                    tokens=answer.requests,
                    scores=others,
                    scorer=f"{scorer}/{answer.definition}",
                    sampling_seed=self.spec.seed,
                )
            )
        return rows

    @cached_property
    def _questions(self) -> list[Questions]:
        return [questions for task in self.spec.tasks for questions in read_questions(task)]


def read_questions(options: CapabilityTaskSpec) -> list[Questions]:
    """The items of a task, by subject in the order of the file. Raises AmountError where there are none."""
    by_subject: dict[str, list[Mapping[str, Any]]] = {}
    for document in read_source(options.items):
        kept = {key.rpartition(".")[2]: value for key, value in document.metadata.items()}
        item = {"query": document.text, options.items.text.rpartition(".")[2]: document.text, **kept}
        by_subject.setdefault(str(item.get("subject") or ""), []).append(item)
    if not by_subject:
        raise AmountError(f"{options.items.path}: no items for {options.task}")
    if longest := next((name for name, items in by_subject.items() if len(items) >= ITEMS_OF_A_TASK), None):
        raise AmountError(f"{options.task} {longest}: more than {ITEMS_OF_A_TASK} items")
    return [Questions(options, subject, tuple(items)) for subject, items in by_subject.items()]


def harness_version() -> str:
    """Version of lm-evaluation-harness. Raises UnavailableError where it is not installed."""
    return version_of_extra("lm_eval", "capability needs lm-evaluation-harness")


def version_of_extra(package: str, what: str) -> str:
    """Version of a package of the extra `eval`, without importing it. Raises UnavailableError naming the extra."""
    if importlib.util.find_spec(package) is None:
        raise UnavailableError(f"{what}; install it with `pip install 'hormesis[eval]'`")
    return importlib.metadata.version(package)


def numeric(metrics: Mapping[str, Any], names: Sequence[str]) -> dict[str, float]:
    """The metrics of an item that are numbers."""
    return {name: float(metrics[name]) for name in names if isinstance(metrics.get(name), (bool, int, float))}
