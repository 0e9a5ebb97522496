"""The stage `linear`: labelled texts in; the model and `card.json`, what it is worth, out."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from curation.sources.bad_lines import BadLines
from curation.sources.input_files import content_of
from curation.training.fasttext.stage import read_labelled
from curation.training.held_out import is_held_out
from curation.training.linear.spec import LinearSpec
from infra.artifacts.artifact import Artifact
from infra.artifacts.fingerprint import digest
from infra.artifacts.records import read_record, to_json
from infra.atomic import write_json
from infra.errors import InputError
from infra.render.html import table_html
from infra.render.page import Page, Plan, Table
from infra.stages.stage import Identity, Stage, Workspace

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curation.models.linear import LinearModel

CARD = "card.json"


class Row(NamedTuple):
    """A text, its labels, and the number of the example source that it is from."""

    text: str
    labels: list[str]
    source: int


@dataclass(frozen=True, kw_only=True)
class AttributeWorth:
    """On texts held out: how many have an attribute, AUC, F1 at 0.5 and Brier score; None where nothing can be told."""

    texts: int
    auc: float | None
    f1: float
    brier: float | None


@dataclass(frozen=True, kw_only=True)
class LinearCard:
    """card.json: texts learnt from, calibrated on and judged on, and what the model is worth by attribute."""

    trained_on: int
    calibrated_on: int
    held_out: int
    attributes: dict[str, AttributeWorth]


def identity(spec: LinearSpec) -> Identity:
    """Settings and the content of the examples."""
    contents = {f"examples[{number}]": digest(content_of(example.source))
                for number, example in enumerate(spec.examples)}  # fmt: skip
    return Identity(spec.identity(), contents)


def run(spec: LinearSpec, workspace: Workspace) -> dict[str, Any]:
    """Read, fit, calibrate, judge, write. Raises InputError, DataError."""
    from curation.training.linear.fit import fit

    bad = BadLines(spec.max_bad_share)
    rows = [Row(text[: spec.longest], labels, number) for number, example in enumerate(spec.examples)
            for text, labels in read_labelled((example,), bad.read)]  # fmt: skip
    bad.weigh("examples", workspace)
    attributes = tuple(sorted({label for row in rows for label in row.labels} - {spec.clean}))
    train, calibration, test = _divided(rows, spec)
    for share in (train, calibration):
        _check_kinds(share, attributes, spec)
    with workspace.progress(f"training {spec.name}", len(train), "texts") as advance:
        model = fit(_texts(train), _table(train, attributes), np.array([row.source for row in train]),
                    _texts(calibration), _table(calibration, attributes), attributes, spec)  # fmt: skip
        advance(len(train))
    model.save(workspace.path)
    counts = {"trained_on": len(train), "calibrated_on": len(calibration), "held_out": len(test)}
    write_json(workspace.path / CARD, to_json(LinearCard(**counts, attributes=_judge(model, test))))
    workspace.note(f"{_speed(model, test):,.0f} texts a second on one core")
    return {"texts": len(rows), **counts, "attributes": list(attributes)}


def _divided(rows: list[Row], spec: LinearSpec) -> tuple[list[Row], list[Row], list[Row]]:
    """Texts to learn from, to calibrate on and to judge on, by their content."""
    shares: tuple[list[Row], list[Row], list[Row]] = ([], [], [])
    for row in rows:
        held = is_held_out(row.text, spec.held_out, spec.seed)
        shares[1 + is_held_out(row.text, 0.5, spec.seed + 1) if held else 0].append(row)
    return shares


def _check_kinds(rows: list[Row], attributes: tuple[str, ...], spec: LinearSpec) -> None:
    """Raise InputError where there is nothing to tell apart."""
    table = _table(rows, attributes)
    if not attributes or not rows or not (table.any(axis=0) & ~table.all(axis=0)).all():
        names = ", ".join([*attributes, spec.clean])
        raise InputError(
            f"{spec.name}: {len(rows)} texts with the labels {names}: of each label some texts, and some without, "
            "are needed to learn from and to hold out"
        )


def _texts(rows: list[Row]) -> list[str]:
    return [row.text for row in rows]


def _table(rows: list[Row], attributes: tuple[str, ...]) -> NDArray[np.bool_]:
    """Which text has which attribute [texts, attributes]."""
    return np.array([[name in row.labels for name in attributes] for row in rows], dtype=bool).reshape(
        len(rows), len(attributes)
    )


def _judge(model: LinearModel, test: list[Row]) -> dict[str, AttributeWorth]:
    """By attribute, on texts held out."""
    from sklearn.metrics import f1_score, roc_auc_score

    scores, truth = model.scores(_texts(test)), _table(test, model.attributes)
    worth = {}
    for column, name in enumerate(model.attributes):
        chances, true = scores[:, column], truth[:, column]
        auc = float(roc_auc_score(true, chances)) if 0 < true.sum() < len(true) else None
        f1 = float(f1_score(true, chances >= 0.5, zero_division=0.0))
        brier = float(np.mean((chances - true) ** 2)) if len(true) else None
        worth[name] = AttributeWorth(texts=int(true.sum()), auc=auc, f1=f1, brier=brier)
    return worth


def _speed(model: LinearModel, test: list[Row]) -> float:
    """Texts a second of processor time."""
    texts = _texts(test)[:2000]
    start = time.process_time()
    model.scores(texts)
    return len(texts) / max(time.process_time() - start, 1e-9)


def plan(spec: LinearSpec) -> Plan:
    """Which texts, which labels, which options."""
    rows = tuple((example.source.path, example.label or f"by {example.label_key}") for example in spec.examples)
    note = f"{spec.held_out:.0%} of the texts are held out, half of them to calibrate on; features are held in memory"
    return Plan(f"linear {spec.name}", (Table("Examples", ("texts", "label"), rows),), (note,))


def show(artifact: Artifact) -> Page:
    """What it is worth, attribute by attribute."""
    card = read_record(LinearCard, Path(artifact.path, CARD))
    rows = tuple((name, worth.texts, worth.auc, worth.f1, worth.brier) for name, worth in card.attributes.items())
    title = f"On {card.held_out:,} texts held out, after learning from {card.trained_on:,}"
    table = Table(title, ("attribute", "texts", "AUC", "F1 at 0.5", "Brier score"), rows)
    return Page(f"linear {artifact.config['name']}", (table,), table_html(table))


LINEAR: Stage[LinearSpec] = Stage("linear", 2, LinearSpec, identity, run, plan, show)
