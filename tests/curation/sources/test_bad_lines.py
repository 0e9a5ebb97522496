"""Every training puts up with as many bad lines as a curation, tells them in the same words, and stops above that.

Covers curation.sources.bad_lines.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from curation.training.calibration.stage import CALIBRATION
from curation.training.distillation.stage import DISTILLATION
from curation.training.fasttext.stage import FASTTEXT
from curation.training.linear.stage import LINEAR
from curation.training.tagger.stage import TAGGER
from infra.errors import DataError
from infra.stages.stage import Stage, run_stage
from tests.helpers.corpora import write_jsonl
from tests.helpers.taggers import rude_texts

PROFANITY = {"name": "profanity"}
TEXTS = [
    {"text": f"{text} {number}", "label": label, "given": score, "spans": spans}
    for number in range(60)
    for text, label, score, spans in (
        ("you stupid idiot, number", "rude", 0.9, [[11, 16]]), ("a fine sunny day by the river", "clean", 0.1, []),
        ("what a damn fool he is", "rude", 0.8, [[12, 16]]), ("they read a book about bridges", "clean", 0.0, []),
    )
]  # fmt: skip


def fasttext(source: dict[str, Any]) -> dict[str, Any]:
    training = {"dim": 4, "epoch": 2, "bucket": 1000}
    return {"examples": [{"source": source, "label_key": "label"}], "training": training, "held_out": 0.2}


def linear(source: dict[str, Any]) -> dict[str, Any]:
    return {"examples": [{"source": source, "label_key": "label"}], "hash_bits": 10, "held_out": 0.4}


def tagger(source: dict[str, Any]) -> dict[str, Any]:
    return {"learn_from": source, "model": {"name": "lexical", "hash_bits": 10, "iterations": 10}}


def distillation(source: dict[str, Any]) -> dict[str, Any]:
    return {"scorer": PROFANITY, "sources": [source], "hash_bits": 10}


def calibration(source: dict[str, Any]) -> dict[str, Any]:
    return {"scorer": PROFANITY, "references": [{"source": source, "scores": {"toxicity": "given"}}]}


KINDS: list[tuple[Stage[Any], Callable[[dict[str, Any]], dict[str, Any]], dict[str, Any]]] = [
    (FASTTEXT, fasttext, {"text": "no label"}), (LINEAR, linear, {"text": "x", "label": {"a": 1}}),
    (TAGGER, tagger, {"text": "x", "spans": [[3, 9]]}), (DISTILLATION, distillation, {"text": 5}),
    (CALIBRATION, calibration, {"text": "x", "given": 7}),
]  # fmt: skip


@pytest.mark.parametrize(("stage", "section", "bad"), KINDS, ids=lambda value: getattr(value, "kind", ""))
def test_a_training_leaves_out_a_few_bad_lines_and_stops_at_many(
    tmp_path: Path, stage: Stage[Any], section: Callable[[dict[str, Any]], dict[str, Any]], bad: dict[str, Any]
) -> None:
    write_jsonl(tmp_path / "rows.jsonl", [*TEXTS[:30], bad, *TEXTS[30:]])
    given = {"name": "it", **section({"path": str(tmp_path / "rows.jsonl")})}
    strict, lenient = (stage.spec.model_validate(given | extra) for extra in ({}, {"max_bad_share": 0.05}))
    message = r"1 of 241 lines are bad"
    with pytest.raises(DataError, match=rf"(?s)^rows.jsonl:31: .*: {message}, .* and max_bad_share is 0.001"):
        run_stage(stage, strict, tmp_path / "out", quiet=True)
    artifact = run_stage(stage, lenient, tmp_path / "out", quiet=True)
    assert any(f"{message[:6]}" in note and "see quarantine.jsonl: rows.jsonl:31: " in note for note in artifact.notes)
    (line,) = (artifact.path / "quarantine.jsonl").read_text().splitlines()
    assert json.loads(line)["line"] == 31
    assert stage.identity(strict) == stage.identity(lenient)


def test_each_test_of_a_tagger_is_weighed_by_itself(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl", rude_texts(200))
    write_jsonl(tmp_path / "trial.jsonl", [*rude_texts(4), {"text": "x", "spans": "0-3"}])
    tests = {"trial": {"path": str(tmp_path / "trial.jsonl")}}
    given = {"name": "it", **tagger({"path": str(tmp_path / "rows.jsonl")}), "tests": tests, "max_bad_share": 0.1}
    with pytest.raises(DataError, match=r"(?s)^trial.jsonl:5: .*tests.trial: 1 of 5 lines are bad"):
        run_stage(TAGGER, TAGGER.spec.model_validate(given), tmp_path / "out", quiet=True)


def test_a_source_whose_first_hundred_lines_are_bad_is_given_up(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("not json\n" * 5000)
    given = {"name": "it", **linear({"path": str(tmp_path / "rows.jsonl")}), "max_bad_share": 1}
    with pytest.raises(DataError, match=r"^rows.jsonl:1: not valid JSON.*; so are the 99 lines after it, so the file"):
        run_stage(LINEAR, LINEAR.spec.model_validate(given), tmp_path / "out", quiet=True)


def test_a_file_of_which_nothing_can_be_read_stops_a_training_however_many_bad_lines_it_allows(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl", TEXTS)
    (tmp_path / "array.json").write_text(json.dumps(TEXTS[:3]))
    given = {"name": "it", **linear({"path": str(tmp_path / "*.json*")}), "max_bad_share": 1}
    with pytest.raises(DataError, match=r"^array.json:1: .*nothing else of the file.*; it looks like a JSON array"):
        run_stage(LINEAR, LINEAR.spec.model_validate(given), tmp_path / "out", quiet=True)
