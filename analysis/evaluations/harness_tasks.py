"""Tasks of lm-evaluation-harness (0.4.13) on items that are at hand, without its data sets and without a network.

Import it only where the extra `eval` is installed.
"""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import lm_eval.api.task
import lm_eval.tasks
from datasets import Dataset, DatasetDict
from jinja2 import UndefinedError
from lm_eval.api.task import ConfigurableTask
from lm_eval.evaluator import evaluate
from lm_eval.tasks._yaml_loader import load_yaml

from analysis.evaluations.harness_model import SteeredLM
from analysis.evaluations.questions import Questions
from infra.config.faults import nearest
from infra.errors import InputError, UnavailableError
from posttrain.steered import Steered

_SPLITS = ("training_split", "validation_split", "test_split", "fewshot_split")
_FOLDER = Path(lm_eval.tasks.__file__).parent
_CHOICES: dict[str, Any] = {
    "task": "choices",
    "output_type": "multiple_choice",
    "test_split": "test",
    "fewshot_split": "train",
    "doc_to_text": "{{query}}",
    "doc_to_choice": "choices",
    "doc_to_target": "{{gold if gold is defined else answer if answer is defined else label}}",
    "metric_list": [{"metric": name, "aggregation": "mean", "higher_is_better": True} for name in ("acc", "acc_norm")],
    "metadata": {"version": 1.0},
}


@dataclass(frozen=True)
class Answer:
    """What the harness says of one item: the task's first metric, the `others`, and what was written, if anything.

    `definition` is the task with the version that the harness gives it.
    """

    item: int
    definition: str
    value: float
    others: Mapping[str, float]
    text: str | None
    requests: int


def answers(questions: Questions, steered: Steered, seed: int) -> list[Answer]:
    """Ask the model the questions. Raises InputError for items without the task's columns or without the few-shot
    split, UnavailableError for a task that the harness does not have or whose metric is not an item's.
    """
    with _quiet():
        task = build_task(questions)
        task.set_fewshot_seed(seed)
        outcome = evaluate(
            SteeredLM(steered),
            {"tasks": {questions.label: task}, "groups": {}, "group_map": {}},
            limit=questions.options.limit,
            bootstrap_iters=0,
        )
    assert outcome is not None
    definition = f"{task.config.task}@{task.VERSION}"
    by_item: dict[int, list[dict[str, Any]]] = {}
    for sample in outcome["samples"][questions.label]:
        by_item.setdefault(sample["doc_id"], []).append(sample)
    return [_answer(item, definition, samples) for item, samples in by_item.items()]


def build_task(questions: Questions) -> ConfigurableTask:
    """The task with its definition, on these items. Raises as `answers`."""
    config = _definition(questions)
    data, config = _with_splits(questions, config)
    config |= {"custom_dataset": lambda **_: data, "num_fewshot": questions.options.num_fewshot, "dataset_kwargs": None}
    config.pop("dataset_path", None)
    try:
        return ConfigurableTask(config=config)
    except (KeyError, UndefinedError) as error:
        known = ", ".join(sorted(questions.items[0]))
        raise InputError(
            f"{questions.options.items.path}: the items lack what the task {questions.label} reads: {error}; they have "
            f"{known}; name what is missing in `keep:`"
        ) from None


def _definition(questions: Questions) -> dict[str, Any]:
    """The task's configuration: our own, a file's, or the harness's."""
    if questions.options.file is None and questions.definition == "choices":
        return dict(_CHOICES)
    path = Path(questions.options.file) if questions.options.file else _find(questions.definition)
    config: dict[str, Any] = dict(load_yaml(path))
    if "class" in config:
        raise UnavailableError(f"the task {questions.definition} is a program that fetches its own data; not supported")
    for key in ("tag", "group", "task_list"):
        config.pop(key, None)
    return {**config, "task": config.get("task", questions.definition)}


def _find(name: str) -> Path:
    """The file of a task. Files are mostly called as their tasks are; the harness's own index reads them all, and takes
    many seconds.
    """
    files = _files()
    rest = (path for paths in files.values() for path in paths if f"task: {name}\n" in _text(path))
    for path in chain(files.get(name, ()), rest):
        if load_yaml(path, resolve_func=False).get("task") == name:
            return path
    hint = nearest(name, list(files))
    raise UnavailableError(f"lm-evaluation-harness has no task {name!r}{hint}; give a task file of your own as `file:`")


@functools.cache
def _files() -> dict[str, list[Path]]:
    """The harness's task files by their names."""
    files: dict[str, list[Path]] = {}
    for path in sorted(_FOLDER.rglob("*.yaml")):
        files.setdefault(path.stem, []).append(path)
    return files


def _text(path: Path) -> str:
    return path.read_text(errors="replace") + "\n"


def _with_splits(questions: Questions, config: dict[str, Any]) -> tuple[DatasetDict, dict[str, Any]]:
    """The items by split, and a configuration that names no split which is not there."""
    asked = config.get("test_split") or config.get("validation_split")
    if asked is None:
        raise UnavailableError(f"the task {questions.label} names no split that is asked")
    by_split: dict[str, list[Mapping[str, Any]]] = {}
    for item in questions.items:
        by_split.setdefault(str(item.get("split") or asked), []).append(item)
    config = {key: value for key, value in config.items() if key not in _SPLITS or value in by_split}
    if not {"test_split", "validation_split"} & set(config):
        raise InputError(f"{questions.options.items.path}: no items of {asked!r}, which {questions.label} asks")
    shown = config.get("fewshot_split") or config.get("training_split")
    if questions.options.num_fewshot and shown is None:
        raise InputError(
            f"{questions.options.items.path}: num_fewshot needs items of another split than those that are asked; keep "
            f"their `split`"
        )
    return DatasetDict({split: Dataset.from_list(items) for split, items in by_split.items()}), config


def _answer(item: int, definition: str, samples: list[dict[str, Any]]) -> Answer:
    """An item's answer; a task with several filters gives it several times, and the first counts."""
    first, *others = samples
    metrics = _numeric(first, first["metrics"])
    name = first["metrics"][0]
    if name not in metrics:
        raise UnavailableError(f"{definition}: {name} is no number of one item; measure `cross_entropy` instead")
    more = {
        f"{key},{sample['filter']}": value
        for sample in others
        for key, value in _numeric(sample, sample["metrics"]).items()
    }
    text = first["filtered_resps"][0]
    return Answer(
        item=item,
        definition=definition,
        value=metrics.pop(name),
        others=metrics | more,
        text=text if isinstance(text, str) else None,
        requests=len(first["resps"]),
    )


def _numeric(metrics: Mapping[str, Any], names: Sequence[str]) -> dict[str, float]:
    """The metrics of an item that are numbers."""
    return {name: float(metrics[name]) for name in names if isinstance(metrics.get(name), (bool, int, float))}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the harness's bars and remarks: progress is told by hormesis, and only where there is a terminal."""
    logger, bar = logging.getLogger("lm_eval"), lm_eval.api.task.tqdm
    level = logger.level
    logger.setLevel(logging.ERROR)
    lm_eval.api.task.tqdm = functools.partial(bar, disable=True)
    try:
        yield
    finally:
        lm_eval.api.task.tqdm = bar
        logger.setLevel(level)
