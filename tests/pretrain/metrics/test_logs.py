"""What a run tells while it trains, and that watching it changes nothing.

Covers pretrain.metrics.record, pretrain.metrics.sinks, pretrain.metrics.sums, pretrain.runtime.profiling.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from infra.artifacts.fingerprint import digest_file
from infra.errors import UnavailableError
from mixtures.formats.risk import STRUCTURAL, threshold_byte
from pretrain.data.epoch import Batch
from pretrain.files import LOG
from pretrain.metrics.jsonl import read_log
from pretrain.metrics.record import spoken
from pretrain.metrics.sinks import scalars
from pretrain.runtime.distributed import process_groups
from pretrain.start.inputs import open_inputs
from pretrain.training.run import Run, pretrain
from tests.helpers.training_runs import log, workspace

BANDS = {"bands": [{"at_or_above": 1e-4, "do": "mask"}, {"at_or_above": 0.9, "do": "unlikelihood"}]}


@pytest.fixture
def watched(tmp_path, settings, monkeypatch) -> Path:
    """A run with every log, an evaluation every third step, and a trace of two steps."""
    monkeypatch.setenv("WANDB_SILENT", "true")
    spec = settings(
        loss=BANDS, logs=["tensorboard", "wandb"], evaluate_every=3, log_every=2, profile={"after": 1, "steps": 2}
    )
    pretrain(spec, workspace(tmp_path / "watched"))
    return tmp_path / "watched"


def test_watching_a_run_changes_none_of_its_bytes_and_tells_what_the_log_tells(tmp_path, settings, watched):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    pretrain(settings(loss=BANDS), workspace(tmp_path / "plain"))
    weights = [digest_file(tmp_path / name / "hf" / "model.safetensors") for name in ("watched", "plain")]
    assert weights[0] == weights[1]
    lines = log(watched)
    assert [line["step"] for line in lines] == [2, 3, 4, 6, 7]
    assert [line["step"] for line in lines if "held_out" in line] == [3, 6]
    assert set(lines[1]["held_out"]["risky"]) == {"cross_entropy", "risky_cross_entropy"}
    events = EventAccumulator(str(watched / "tensorboard")).Reload()
    told = {event.step: event.value for event in events.Scalars("cross_entropy/risky")}
    assert told == pytest.approx({line["step"]: line["cross_entropy"]["risky"] for line in lines})
    assert [event.step for event in events.Scalars("held_out/clean/risky_cross_entropy")] == [3, 6]
    (offline,) = (watched / "wandb").glob("offline-run-*/run-*.wandb")
    assert offline.stat().st_size > 0


def test_a_profile_holds_the_traced_steps_and_what_they_cost(watched):
    trace = json.loads(gzip.decompress((watched / "profile" / "trace.json.gz").read_bytes()))
    steps = {event["name"] for event in trace["traceEvents"] if event["name"].startswith("ProfilerStep")}
    assert len(steps) == 2
    assert "aten::mm" in (watched / "profile" / "costs.txt").read_text()


def test_cross_entropy_is_told_by_component_and_by_the_thresholds_of_the_policy(tmp_path, settings):
    spec = settings(loss=BANDS)
    with process_groups(spec.parallel, 0):
        trainer = Run(spec, open_inputs(spec), workspace(tmp_path)).trainer
        scores = [threshold_byte(score) for score in (1e-5, 1e-4, 0.5, 0.9)]
        risk = torch.tensor([[*scores, STRUCTURAL, 0], [scores[0]] * 6], dtype=torch.uint8)
        empty = torch.zeros(2, 6, dtype=torch.long)
        component = torch.tensor([[1] * 6, [0] * 6])
        batch = Batch(empty, empty, risk, risk, component, component, None)
        nats = torch.arange(12.0).reshape(2, 6)
        summed, counts = trainer._by_level(batch, nats).reshape(2, 2, -1)
    assert trainer.levels == ("unscored", "below 0.0001", "0.0001 to 0.9", "from 0.9")
    assert summed.tolist() == [[0.0, 6 + 7 + 8 + 9 + 10 + 11, 0.0, 0.0], [5.0, 0.0, 1 + 2, 3.0]]
    assert counts.tolist() == [[0.0, 6.0, 0.0, 0.0], [1.0, 1.0, 2.0, 1.0]]


def test_a_line_is_readable(tmp_path, settings):
    pretrain(settings(), workspace(tmp_path / "w"))
    text = spoken(replace(read_log(tmp_path / "w" / LOG)[0], skipped_steps=2), 7)
    for phrase in (
        "step 2 of 7",
        "loss ",
        "clean ",
        "risky ",
        "below 0.5 ",
        "from 0.5 ",
        "tokens/s",
        "2 skipped",
        "ETA ",
    ):
        assert phrase in text


def test_numbers_of_a_line_are_named_by_their_path():
    line = {"step": 3, "loss": 1, "mfu": None, "held_out": {"clean": {"cross_entropy": 2.5}}}
    assert dict(scalars(line)) == {"loss": 1.0, "held_out/clean/cross_entropy": 2.5}


def test_a_log_whose_package_is_missing_is_refused_before_the_run(tmp_path, settings, monkeypatch):
    monkeypatch.setattr("pretrain.metrics.sinks.find_spec", lambda _: None)
    with pytest.raises(UnavailableError, match=r"wandb needs its package.*hormesis\[logs\]"):
        pretrain(settings(logs=["wandb"]), workspace(tmp_path / "w"))
