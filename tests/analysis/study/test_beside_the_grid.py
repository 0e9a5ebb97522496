"""A study with a control, a checkpoint and published effects, from YAML to report, on steps that another study made.

Covers analysis.study.stage and pretrain.training.checkpoint_stage.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from analysis.study.stage import share_steps
from infra.artifacts.artifact import STEPS, read_artifact, verify
from infra.errors import InputError
from tests.helpers import ROOT

PLAIN = """
kind: study
extends: study.yaml
name: plain
doses: [0.25]
policies: {mask: null}
methods: null
"""
FURTHER = """
kind: study
extends: study.yaml
name: further
policies: {mask: null}
controls: [compute_matched]
checkpoints: {steps: [20], evaluations: [toxicity, cross_entropy]}
methods: {iti: null, random: null, sasa: null, both: null}
published:
  - paper: "A et al."
    effects:
      - {claim: more, where: "Table 1", mark: P, of: {dose: 0.25}, minus: {dose: 0.25, matched: true}, expected: above}
      - {claim: later, where: "Table 1", mark: P, of: {dose: 0.25}, minus: {dose: 0.25, step: 20}, expected: above}
"""


@pytest.fixture(scope="module")
def further(study_file: Path) -> Path:
    """The study, run on the curation and the mixtures of another."""
    (study_file.parent / "plain.yaml").write_text(PLAIN)
    (study_file.parent / "further.yaml").write_text(FURTHER)
    shared = study_file.parent / "shared"
    for name in ("plain", "further"):
        command = [sys.executable, "-m", "hormesis", "run", str(study_file.parent / f"{name}.yaml"), "--out",
                   str(study_file.parent / f"{name}-out"), "--workers", "1", "--set", f"steps_in={shared}"]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
        assert done.returncode == 0, done.stderr
    return study_file.parent / "further-out"


def test_steps_that_another_study_made_are_taken_as_they_are(further: Path) -> None:
    steps = {path.name for path in (further / STEPS).iterdir()}
    assert {name for name in steps if name.startswith(("curation", "mixture"))} == {
        "curation", "mixture-dose-0", "mixture-dose-0.25", "mixture-matched-0.25"
    }  # fmt: skip
    assert read_artifact(further / STEPS / "curation").path.resolve().parent.name == "shared"


def test_a_checkpoint_is_a_model_of_its_own_that_is_measured(further: Path) -> None:
    checkpoint = read_artifact(further / STEPS / "checkpoint-dose-0.25-keep-seed0-step20", "checkpoint")
    verify(checkpoint)
    assert checkpoint.counts["step"] == 20 < checkpoint.counts["of_steps"]
    table = pl.read_parquet(further / "results.parquet")
    at_step = table.filter(pl.col("step") == 20)
    assert set(at_step["evaluation"]) == {"toxicity", "cross_entropy"}
    assert set(at_step["mixture"]) == set(table["mixture"]) and set(at_step["method"]) == {"none", "prompt"}
    entropy = table.filter(pl.col("evaluation") == "cross_entropy", pl.col("method") == "none")
    by_step = dict(entropy.group_by("step").agg(pl.col("value").mean()).rows())
    assert by_step[20] > by_step[None]  # it has learned since


def test_the_report_holds_the_control_apart_and_says_what_came_out(further: Path) -> None:
    table = pl.read_parquet(further / "tables" / "frontier.parquet")
    assert "mixture-matched-0.25" not in table["mixture"].to_list()
    told = json.loads((further / "answer.json").read_text())
    assert told["against_matched"] and told["against_matched"] != told["sentence"]
    effects = pl.read_parquet(further / "tables" / "effects.parquet")
    assert effects["outcome"].to_list() == ["not shown", "not shown"]  # one seed
    assert effects["value"].null_count() == 0
    assert set(pl.read_parquet(further / "tables" / "training.parquet")["step"]) == {20, None}


def test_steps_elsewhere_are_refused(tmp_path: Path) -> None:
    (tmp_path / "study" / STEPS / "curation").mkdir(parents=True)
    with pytest.raises(InputError, match="the steps of this study are there already"):
        share_steps(tmp_path / "study", tmp_path / "elsewhere")
