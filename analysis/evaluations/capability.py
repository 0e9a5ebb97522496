"""The evaluation `capability`: questions with known answers, asked by lm-evaluation-harness of the steered model.

A steering method that makes a model harmless by making it dumb is seen here. The questions come from local files or
from data files of a wheel, their form (prompt, choices, metric) from the harness's own task definitions, so a figure is
the harness's figure where the items are the same.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

from analysis.evaluations.base import Evaluation
from analysis.evaluations.extra import version_of_extra
from analysis.evaluations.options import CapabilitySpec
from analysis.evaluations.questions import ITEMS_OF_A_TASK, Questions, read_questions
from analysis.results import Row, Score
from curation.sources.input_files import content_of
from infra.artifacts.inputs import input_digests


class Capability(Evaluation[CapabilitySpec]):
    """A task (of MMLU: a subject) is a chunk."""

    options = CapabilitySpec
    reads = ()

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


def harness_version() -> str:
    """Version of lm-evaluation-harness. Raises UnavailableError where it is not installed."""
    return version_of_extra("lm_eval", "capability needs lm-evaluation-harness")
