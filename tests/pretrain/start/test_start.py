"""What a run begins with: another trainer's weights, or a checkpoint with its moments and its learning rate.

Covers pretrain.start.origin, pretrain.start.inputs, pretrain.training.initial.
"""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from infra.artifacts.artifact import Artifact
from infra.artifacts.inputs import TRUST
from infra.errors import ArtifactError, InputError
from infra.stages.stage import Workspace, run_stage
from pretrain.model.weights import gather
from pretrain.runtime.distributed import process_groups
from pretrain.spec import PretrainSpec
from pretrain.stage import PRETRAIN
from pretrain.start.inputs import open_inputs
from pretrain.training.run import Run
from tests.helpers.token_mixtures import EOS, write_mixture

DOCUMENT = [*range(5, 36), EOS]  # as long as a sample: every step sees the same text, wherever it begins


@pytest.fixture
def same_text(tmp_path) -> str:
    documents = ([DOCUMENT] * 80, [[1] * 32] * 80)
    return str(write_mixture(tmp_path / "same", {"only": documents}, {"only": ([DOCUMENT], [[1] * 32])}))


@pytest.fixture
def earlier(tmp_path, settings, same_text) -> Artifact:
    """Ten steps, with checkpoints after every fourth and after the last."""
    spec = settings(mixture=same_text, log_every=1, checkpoint_every=2, keep_every=4)
    return run_stage(PRETRAIN, spec, tmp_path / "earlier", quiet=True)


def log(artifact: Artifact) -> list[dict]:
    return [json.loads(line) for line in (artifact.path / "log.jsonl").read_text().splitlines()]


def first_weights(spec: PretrainSpec, folder: Path) -> dict[str, torch.Tensor]:
    with process_groups(spec.parallel, spec.seed):
        run = Run(spec, open_inputs(spec), Workspace(folder, folder, quiet=True))
        return dict(gather(run.trainer.model, run.inputs.architecture))


def test_checkpoints_that_are_to_be_kept_are_in_the_artifact(earlier):
    names = sorted(path.name for path in (earlier.path / "checkpoints").iterdir())
    assert names == ["step-000000004", "step-000000008", "step-000000010"]


def test_a_run_can_begin_with_the_weights_of_a_folder_of_an_artifact_or_of_its_last_checkpoint(tmp_path, earlier):
    exported = load_file(earlier.path / "hf" / "model.safetensors")
    folders = (
        {"model": str(earlier.path / "hf")},
        {"model": str(earlier.path)},
        {"model": str(earlier.path), "step": 10},
    )
    for number, start in enumerate(folders):
        spec = PretrainSpec(name="later", mixture=str(tmp_path / "same"), start_from=start)
        begun = first_weights(spec, tmp_path / str(number))
        assert begun.keys() == exported.keys()
        assert all(torch.equal(begun[name], exported[name]) for name in begun)


def test_moments_and_learning_rate_continue_as_if_the_run_had_not_ended(tmp_path, settings, earlier, same_text):
    def later(name: str, **how: str) -> list[dict]:
        start = {"model": str(earlier.path), "step": 4, **how}
        spec = settings(mixture=same_text, log_every=1, seed=1, start_from=start)
        return log(run_stage(PRETRAIN, spec, tmp_path / name, quiet=True))

    whole = log(earlier)[4:]
    both = later("both", optimizer="continue", learning_rate="continue")
    assert [(line["loss"], line["lr"]) for line in both[:6]] == [(line["loss"], line["lr"]) for line in whole]
    rate = later("rate", learning_rate="continue")
    assert [line["lr"] for line in rate] == [line["lr"] for line in both]
    assert rate[0]["loss"] == whole[0]["loss"]
    assert rate[3]["loss"] != whole[3]["loss"]
    moments = later("moments", optimizer="continue")
    assert [line["lr"] for line in moments] == [line["lr"] for line in log(earlier)]
    assert moments[3]["loss"] not in (rate[3]["loss"], whole[3]["loss"])


def test_a_schedule_that_another_trainer_began_goes_on(tmp_path, settings, same_text):
    optimizer = {"lr": 1e-3, "warmup": 0.1, "schedule": {"steps": 200, "taken": 100}}
    artifact = run_stage(
        PRETRAIN, settings(mixture=same_text, log_every=1, optimizer=optimizer), tmp_path / "w", quiet=True
    )
    cosine = [0.5 * (1 + math.cos(math.pi * (step - 20) / 180)) for step in range(101, 111)]
    assert [line["lr"] for line in log(artifact)] == pytest.approx([1e-4 + 9e-4 * height for height in cosine])


def test_a_damaged_checkpoint_is_no_start(tmp_path, settings, earlier, same_text, monkeypatch):
    file = earlier.path / "checkpoints" / "step-000000004" / "common.pt"
    file.write_bytes(bytes(byte ^ 1 for byte in file.read_bytes()))
    spec = settings(mixture=same_text, start_from={"model": str(earlier.path), "step": 4})
    with pytest.raises(ArtifactError, match=r"step-000000004/common.pt: content differs"):
        run_stage(PRETRAIN, spec, tmp_path / "w", quiet=True)
    monkeypatch.setenv(TRUST, "1")  # the checkpoint has checksums of its own
    with pytest.raises(ArtifactError, match="step-000000004: the checkpoint is damaged"):
        run_stage(PRETRAIN, spec, tmp_path / "w", quiet=True)


def test_a_start_that_does_not_fit_is_refused_before_anything_is_spent(tmp_path, settings, earlier, same_text):
    def refusal(**changes) -> str:
        with pytest.raises(InputError) as caught:
            PRETRAIN.plan(settings(**({"mixture": same_text} | changes)))
        return str(caught.value)

    here = str(earlier.path)
    words = write_mixture(tmp_path / "words", {"only": ([DOCUMENT], [[1] * 32])}, {}, vocab_size=90)
    tokenizer = words / "tokenizer" / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text().replace('"w7"', '"x7"'))
    assert "token 7 of the mixture is 'x7'" in refusal(start_from=here, mixture=str(words))
    assert "it has those of 4, 8, 10" in refusal(start_from={"model": here, "step": 6})
    assert "need a pretraining artifact" in refusal(start_from={"model": f"{here}/hf", "optimizer": "continue"})
    assert "num_layers is 3, and that of the model in start_from is 2" in refusal(
        start_from=here, model={"num_layers": 3, "hidden_size": 32, "num_attention_heads": 4}
    )
    assert "set `precision: fp32`" in refusal(start_from={"model": here, "optimizer": "continue"}, precision="bf16")
    assert "hf download allenai/OLMo-1B-hf" in refusal(start_from="hf:allenai/OLMo-1B-hf")
    adapter = shutil.copytree(earlier.path / "hf", tmp_path / "adapter")
    (adapter / "adapter_config.json").write_text("{}")
    assert "holds a PEFT adapter; merge it" in refusal(start_from=str(adapter))
