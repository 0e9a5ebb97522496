"""The stage `fasttext`: labelled texts in; `model.bin` and `card.json` out."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from curation.corpus.records import RawDocument
from curation.models.fasttext import FasttextModel, train_fasttext
from curation.sources.bad_lines import BadLines, Reader
from curation.sources.extract import UnreadableError
from curation.sources.input_files import content_of
from curation.sources.read import read_source
from curation.training.fasttext.spec import ExamplesSpec, FasttextStageSpec
from curation.training.held_out import is_held_out
from infra.artifacts.artifact import Artifact
from infra.artifacts.fingerprint import digest
from infra.artifacts.records import read_record, to_json
from infra.atomic import write_json
from infra.errors import InputError
from infra.render.html import table_html
from infra.render.page import Page, Plan, Table
from infra.stages.stage import Identity, Stage, Workspace

MODEL, CARD = "model.bin", "card.json"
Labelled = tuple[str, list[str]]


@dataclass(frozen=True, kw_only=True)
class LabelWorth:
    """On texts held out: how many have a label, area under the ROC curve (None where all or none have it), and F1 at
    probability 0.5.
    """

    texts: int
    auc: float | None
    f1: float


@dataclass(frozen=True, kw_only=True)
class FasttextCard:
    """card.json: texts that were trained on and held out, and what the model is worth by label."""

    trained_on: int
    held_out: int
    labels: dict[str, LabelWorth]


def identity(spec: FasttextStageSpec) -> Identity:
    """Settings and the content of the examples."""
    contents = {f"examples[{number}]": digest(content_of(example.source))
                for number, example in enumerate(spec.examples)}  # fmt: skip
    return Identity(spec.identity(), contents)


def run(spec: FasttextStageSpec, workspace: Workspace) -> dict[str, Any]:
    """Train, judge, write. Raises InputError, UnavailableError, DataError."""
    bad = BadLines(spec.max_bad_share)
    rows = list(read_labelled(spec.examples, bad.read))
    bad.weigh("examples", workspace)
    test = [row for row in rows if is_held_out(row[0], spec.held_out, spec.seed)]
    train = [row for row in rows if not is_held_out(row[0], spec.held_out, spec.seed)]
    if not test:
        raise InputError(f"none of {len(rows)} texts is held out; give more texts, or a larger held_out")
    with workspace.progress(f"training {spec.name}", len(train), "texts") as advance:
        model = train_fasttext(train, spec.training, workspace.path / MODEL)
        advance(len(train))
    card = FasttextCard(trained_on=len(train), held_out=len(test), labels=_judge(model, test))
    write_json(workspace.path / CARD, to_json(card))
    workspace.note(f"{_speed(model, test):,.0f} texts a second on one core")
    return {"texts": len(rows), "trained_on": len(train), "held_out": len(test), "labels": list(model.labels)}


def read_labelled(examples: tuple[ExamplesSpec, ...], read: Reader = read_source) -> Iterator[Labelled]:
    """Texts with their labels, in the order of their sources; a text without a label is a bad line. Raises InputError,
    DataError.
    """
    for example in examples:
        keep = (*example.source.keep, *([example.label_key] if example.label_key else []))
        labels = partial(_labels, example=example)
        for document in read(example.source.model_copy(update={"keep": tuple(dict.fromkeys(keep))}), None, labels):
            yield document.text, labels(document)


def _labels(document: RawDocument, example: ExamplesSpec) -> list[str]:
    """A text's labels, under the names that they are to have. Raises UnreadableError for a text without any."""
    if example.label is not None:
        return [example.label]
    stored = document.metadata.get(example.label_key or "")
    values = stored if isinstance(stored, list) else [stored]
    if not values or any(isinstance(value, (dict, list, float)) or value is None for value in values):
        shown = json.dumps(stored, ensure_ascii=False)[:80]
        allowed = "a word, a whole number, true, false, or a list of them"
        raise UnreadableError(f'the label key "{example.label_key}" is {shown}; allowed: {allowed}')
    plain = [str(int(value)) if isinstance(value, bool) else "_".join(str(value).split()) for value in values]
    return [example.names.get(value, value) for value in plain]


def _judge(model: FasttextModel, test: list[Labelled]) -> dict[str, LabelWorth]:
    """By label, on texts held out."""
    from sklearn.metrics import f1_score, roc_auc_score

    table = model.probabilities([text for text, _ in test])
    worth = {}
    for column, label in enumerate(model.labels):
        truth = np.array([label in labels for _, labels in test])
        both = 0 < truth.sum() < len(truth)
        auc = float(roc_auc_score(truth, table[:, column])) if both else None
        f1 = float(f1_score(truth, table[:, column] >= 0.5, zero_division=0.0))
        worth[label] = LabelWorth(texts=int(truth.sum()), auc=auc, f1=f1)
    return worth


def _speed(model: FasttextModel, test: list[Labelled]) -> float:
    """Texts a second of processor time."""
    texts = [text for text, _ in test][:2000]
    start = time.process_time()
    model.probabilities(texts)
    return len(texts) / max(time.process_time() - start, 1e-9)


def plan(spec: FasttextStageSpec) -> Plan:
    """Which texts, which labels, which options."""
    rows = tuple((example.source.path, example.label or f"by {example.label_key}") for example in spec.examples)
    options = tuple((key, value) for key, value in spec.training.model_dump().items())
    tables = (Table("Examples", ("texts", "label"), rows), Table("Training", ("option", "value"), options))
    note = f"{spec.held_out:.0%} of the texts are held out; training uses one core, so that a repeat is equal"
    return Plan(f"fasttext {spec.name}", tables, (note,))


def show(artifact: Artifact) -> Page:
    """What it is worth, label by label."""
    card = read_record(FasttextCard, Path(artifact.path, CARD))
    rows = tuple((label, worth.texts, worth.auc, worth.f1) for label, worth in card.labels.items())
    title = f"On {card.held_out:,} texts held out of {card.held_out + card.trained_on:,}"
    table = Table(title, ("label", "texts", "AUC", "F1 at 0.5"), rows)
    return Page(f"fasttext {artifact.config['name']}", (table,), table_html(table))


FASTTEXT: Stage[FasttextStageSpec] = Stage("fasttext", 2, FasttextStageSpec, identity, run, plan, show)
