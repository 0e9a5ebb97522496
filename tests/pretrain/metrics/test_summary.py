"""What `pretrain.json` and `log.jsonl` hold is read once, by type, and what is missing is named with its file.

Covers pretrain.metrics.summary, pretrain.metrics.jsonl.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from infra.artifacts.records import to_json
from infra.errors import ArtifactError
from pretrain.files import LOG, SUMMARY
from pretrain.metrics.jsonl import Log, LogLine, read_log
from pretrain.metrics.summary import HeldOutCrossEntropy, TrainSummary

LINE = LogLine(2, 1.5, 1e-3, None, 64, 0, {"clean": 1.5, "risky": None}, {"below 0.5": 1.5}, 10.0, None, 0.0, 3.0)
TRAINED = TrainSummary(
    steps=4,
    skipped_steps=1,
    parameters=10,
    tokens=64,
    loss_tokens=60,
    tokens_by_component={"clean": 64},
    cross_entropy={"clean": 2.5},
    held_out={"clean": HeldOutCrossEntropy(2.5, 8, None, 0, 3.0)},
    train_cross_entropy={"clean": 2.4, "risky": None},
    tokens_per_second=10.0,
    seconds=6.4,
    device="CPU, 1 thread(s)",
    ranks=1,
)


def test_a_summary_is_read_as_it_was_written(tmp_path: Path) -> None:
    (tmp_path / SUMMARY).write_text(json.dumps(to_json(TRAINED)))
    assert TrainSummary.read(tmp_path) == TRAINED
    assert TRAINED.counts["cross_entropy"] == {"clean": 2.5} and TRAINED.counts["skipped_steps"] == 1


@pytest.mark.parametrize("path", [("steps",), ("held_out", "clean", "risky_tokens")], ids=".".join)
def test_a_summary_without_a_key_is_refused_by_file_and_key(tmp_path: Path, path: tuple[str, ...]) -> None:
    summary = to_json(TRAINED)
    holder = summary
    for key in path[:-1]:
        holder = holder[key]
    del holder[path[-1]]
    (tmp_path / SUMMARY).write_text(json.dumps(summary))
    with pytest.raises(ArtifactError, match=rf"{SUMMARY}: {'.'.join(path)}: missing"):
        TrainSummary.read(tmp_path)


def test_a_log_is_read_up_to_a_line_that_a_kill_left_unfinished(tmp_path: Path) -> None:
    log = Log(tmp_path / LOG)
    lines = [LINE, replace(LINE, step=4, held_out={"clean": {"cross_entropy": 2.5, "risky_cross_entropy": None}})]
    for line in lines:
        log.append(line)
    with log.path.open("a") as file:
        file.write('{"step": 6, "lo')
    assert read_log(log.path) == lines
    log.cut_after(2)
    assert read_log(log.path) == [LINE] and "held_out" not in log.path.read_text()


def test_a_line_of_the_log_of_a_wrong_type_is_refused_by_file_and_key(tmp_path: Path) -> None:
    (tmp_path / LOG).write_text(json.dumps(to_json(LINE) | {"tokens": "many"}) + "\n")
    with pytest.raises(ArtifactError, match=rf"{LOG}: tokens: "):
        read_log(tmp_path / LOG)
