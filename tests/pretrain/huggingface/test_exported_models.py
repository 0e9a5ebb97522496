"""The model that a run hands on: finished or at a step, with its card.

Covers pretrain.training.handover, pretrain.report.card, pretrain.huggingface.location.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from infra.artifacts.artifact import Artifact
from infra.artifacts.export import export_artifact
from infra.errors import InputError
from infra.stages.stage import run_stage
from pretrain.stage import PRETRAIN

READ = (
    "import sys, torch; from transformers import AutoModelForCausalLM, AutoTokenizer;"
    "model = AutoModelForCausalLM.from_pretrained(sys.argv[1]); tokenizer = AutoTokenizer.from_pretrained(sys.argv[1]);"
    "print(type(model).__name__, float(model(**tokenizer('w5 w6', return_tensors='pt')).logits.sum()))"
)


@pytest.fixture
def run(tmp_path, settings) -> Artifact:
    spec = settings(checkpoint_every=4, keep_every=4, loss="slung-masked")
    return run_stage(PRETRAIN, spec, tmp_path / "run", quiet=True)


def exported(run: Artifact, target: Path, *settings: str) -> Path:
    return export_artifact(run, PRETRAIN.exports, "hf", target, settings)


def test_a_checkpoint_is_handed_on_and_a_clean_process_reads_it(tmp_path, run):
    middle = exported(run, tmp_path / "middle", "step=4")
    end = exported(run, tmp_path / "end", "step=7")
    finished = exported(run, tmp_path / "finished")
    states = [load_file(folder / "model.safetensors") for folder in (middle, end, finished)]
    assert all(torch.equal(weight, states[1][name]) for name, weight in states[2].items())
    assert not all(torch.equal(weight, states[0][name]) for name, weight in states[2].items())
    assert {file.name for file in middle.iterdir()} == {file.name for file in finished.iterdir()}
    done = subprocess.run([sys.executable, "-c", READ, str(middle)], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("OlmoForCausalLM ")


def test_the_card_says_data_loss_and_results_and_which_step_it_is(tmp_path, run):
    card = (exported(run, tmp_path / "middle", "step=4") / "README.md").read_text()
    assert card.startswith("---\n")
    for phrase in (
        "not-for-all-audiences",
        "the checkpoint after step 4",
        "slung-masked",
        "| clean |",
        "| mask |",
        run.inputs["mixture"],
    ):
        assert phrase in card
    assert "checkpoint after" not in (run.path / "hf" / "README.md").read_text()


def test_a_step_that_was_not_kept_is_refused_with_those_that_were(tmp_path, run):
    with pytest.raises(InputError, match="no checkpoint of step 3; it has those of 4, 7"):
        exported(run, tmp_path / "none", "step=3")
