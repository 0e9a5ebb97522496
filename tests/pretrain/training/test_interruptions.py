"""Runs that are killed, preempted or damaged, that go on with another number of ranks, or meet what is not a number.

Covers pretrain.training.checkpoint, pretrain.training.run, pretrain.training.offenders, pretrain.training.optimizer,
pretrain.runtime.preemption, pretrain.files.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from infra.artifacts.artifact import read_artifact
from infra.errors import ConfigError, JobError, Preempted
from infra.stages.stage import run_stage
from mixtures.reading.built import BuiltMixture
from pretrain.data.epoch import Batches
from pretrain.data.schedule import Epoch
from pretrain.files import INDICES
from pretrain.runtime.distributed import process_groups
from pretrain.spec import PretrainSpec
from pretrain.stage import PRETRAIN
from pretrain.start.inputs import open_inputs
from pretrain.training.run import Run, pretrain
from tests.helpers.many_ranks import in_another_process, on_ranks
from tests.helpers.token_mixtures import EOS, random_documents, small_mixture, small_run, write_mixture
from tests.helpers.training_runs import break_gradients, log, train, train_stage, weights, workspace


def losses(folder: Path) -> list[tuple[int, float]]:
    return [(line["step"], line["loss"]) for line in log(folder)]


@dataclass(frozen=True)
class Whole:
    """A run that nothing disturbed."""

    spec: PretrainSpec
    folder: Path


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Whole:
    """More than fifty steps."""
    folder = tmp_path_factory.mktemp("whole")
    mixture = str(small_mixture(folder / "mixture"))
    spec = small_run(mixture=mixture, epochs=8, checkpoint_every=7, log_every=1)
    torch.set_num_threads(1)
    run_stage(PRETRAIN, spec, folder / "run", quiet=True)
    assert log(folder / "run")[-1]["step"] >= 50
    return Whole(spec, folder / "run")


def signal_at(spec: PretrainSpec, target: Path, step: int, number: signal.Signals) -> int | None:
    """Start the stage in another process, send it a signal once it has logged `step`; its exit code."""
    process = in_another_process(train_stage, spec.model_dump_json(), target)
    while process.is_alive():
        logs = list(target.parent.glob(f".{target.name}.*.partial/log.jsonl"))
        if logs and logs[0].read_bytes().count(b"\n") >= step:
            os.kill(process.pid or 0, number)
            break
        time.sleep(0.05)
    process.join(300)
    assert not target.exists(), "the run was over before the signal came"
    return process.exitcode


def test_a_run_that_is_killed_at_random_steps_ends_with_the_bytes_of_an_undisturbed_one(tmp_path, whole):
    for step in sorted(random.sample(range(1, 50), 2)):
        print("killed at step", step)
        assert signal_at(whole.spec, tmp_path / "killed", step, signal.SIGKILL) == -signal.SIGKILL
    artifact = run_stage(PRETRAIN, whole.spec, tmp_path / "killed", quiet=True)
    assert weights(tmp_path / "killed") == weights(whole.folder)
    assert losses(tmp_path / "killed") == losses(whole.folder)
    assert artifact.counts["tokens"] == read_artifact(whole.folder).counts["tokens"]
    assert not (tmp_path / "killed" / "checkpoints").exists()


def test_a_preempted_run_saves_leaves_and_goes_on(tmp_path, whole):
    spec = whole.spec.model_copy(update={"checkpoint_every": 1000})
    assert signal_at(spec, tmp_path / "left", 7, signal.SIGTERM) == Preempted.exit_code
    (saved,) = tmp_path.glob(".left.*.partial/checkpoints/step-*")
    assert int(saved.name.removeprefix("step-")) >= 7
    run_stage(PRETRAIN, spec, tmp_path / "left", quiet=True)
    assert weights(tmp_path / "left") == weights(whole.folder)
    assert losses(tmp_path / "left") == losses(whole.folder)


def test_a_killed_run_stays_while_one_with_another_mixture_is_trained_and_is_taken_up_later(tmp_path, whole):
    spec = whole.spec.model_copy(update={"checkpoint_every": 2})
    assert signal_at(spec, tmp_path / "run", 7, signal.SIGTERM) == Preempted.exit_code
    text = random_documents(40, seed=3)
    mixture = write_mixture(tmp_path / "other", {"clean": text, "risky": text}, {"clean": text, "risky": text})
    other = spec.model_copy(update={"mixture": str(mixture)})
    run_stage(PRETRAIN, other, tmp_path / "run", quiet=True)
    (saved,) = tmp_path.glob(".run.*.partial/log.jsonl")
    before = saved.read_text()
    assert before
    later = run_stage(PRETRAIN, spec, tmp_path / "run", quiet=True).path
    assert later.name.startswith("run-") and (later / "log.jsonl").read_text().startswith(before)
    assert weights(later) == weights(whole.folder)


def test_a_damaged_checkpoint_is_passed_over_and_said_to_be(tmp_path, whole):
    train(whole.spec.model_dump_json(), tmp_path / "damaged", killed_after=14)
    newest = sorted((tmp_path / "damaged" / "checkpoints").glob("step-*"))[-1]
    largest = max(newest.iterdir(), key=lambda file: file.stat().st_size)
    data = bytearray(largest.read_bytes())
    data[len(data) // 2] ^= 1
    largest.write_bytes(data)
    resumed = workspace(tmp_path / "damaged")
    pretrain(whole.spec, resumed)
    assert any("step-000000014 is damaged" in note for note in resumed._notes)
    assert weights(tmp_path / "damaged") == weights(whole.folder)


def test_a_run_killed_after_its_summary_is_not_done_again(tmp_path, settings, monkeypatch):
    counts = pretrain(settings(), workspace(tmp_path / "w"))
    monkeypatch.setattr("pretrain.training.run.process_groups", lambda *_, **__: pytest.fail("trained again"))
    assert pretrain(settings(), workspace(tmp_path / "w")) == counts


@pytest.mark.parametrize("divided", [False, True], ids=["optimizer whole", "optimizer divided"])
def test_a_run_on_two_ranks_goes_on_on_one_and_on_four(tmp_path, settings, divided):
    """Also divided otherwise: four ranks hold half of the weights each, of a vocabulary that they must pad."""
    model = {"num_layers": 2, "hidden_size": 32, "num_attention_heads": 4, "vocab_size": 97}
    spec = settings(model=model, epochs=2, checkpoint_every=4, log_every=1, parallel={"distributed_optimizer": divided})
    four = spec.model_copy(update={"parallel": spec.parallel.model_copy(update={"tensor": 2})})
    on_ranks(2, train, spec.model_dump_json(), tmp_path / "two", 8)
    shutil.copytree(tmp_path / "two", tmp_path / "four")
    pretrain(spec, workspace(tmp_path / "two"))
    on_ranks(4, train, four.model_dump_json(), tmp_path / "four", None)
    pretrain(spec, workspace(tmp_path / "whole"))
    whole = load_file(tmp_path / "whole" / "hf" / "model.safetensors")
    for name in ("two", "four"):
        exported = load_file(tmp_path / name / "hf" / "model.safetensors")
        lines, expected_lines = log(tmp_path / name), log(tmp_path / "whole")
        assert [line["step"] for line in lines] == [line["step"] for line in expected_lines]
        norms = [line["grad_norm"] for line in expected_lines]
        assert [line["grad_norm"] for line in lines] == pytest.approx(norms, rel=1e-4)
        assert exported.keys() == whole.keys()
        for weight, expected in whole.items():
            torch.testing.assert_close(exported[weight], expected, atol=1e-5, rtol=1e-4, msg=f"{weight}, {name}")


def test_a_checkpoint_of_the_distributed_optimizer_is_refused_by_a_run_without_it(tmp_path, settings):
    spec = settings(checkpoint_every=4, parallel={"distributed_optimizer": True})
    train(spec.model_dump_json(), tmp_path / "w", killed_after=4)
    with pytest.raises(ConfigError, match="was written with true: say true"):
        pretrain(settings(checkpoint_every=4), workspace(tmp_path / "w"))
    pretrain(spec, workspace(tmp_path / "w"))
    pretrain(spec, workspace(tmp_path / "whole"))
    assert weights(tmp_path / "w") == weights(tmp_path / "whole")


def test_a_step_whose_gradient_is_not_finite_is_skipped_and_counted(tmp_path, settings, monkeypatch):
    break_gradients(monkeypatch, 2, 4)
    where = workspace(tmp_path / "w")
    counts = pretrain(settings(log_every=1), where)
    assert counts["skipped_steps"] == 2
    assert [note for note in where._notes if "step 3 of" in note]
    lines = log(tmp_path / "w")
    assert [line["skipped_steps"] for line in lines][:5] == [0, 0, 1, 2, 2]
    assert [line["loss"] is None for line in lines][:5] == [False, False, True, True, False]
    assert counts["tokens"] == lines[-1]["tokens"] < BuiltMixture.open(settings().mixture).tokens
    state = load_file(tmp_path / "w" / "hf" / "model.safetensors")
    assert all(torch.isfinite(weight).all() for weight in state.values())


def test_too_many_such_steps_stop_the_run_and_name_the_documents(tmp_path, settings, monkeypatch):
    break_gradients(monkeypatch, 2, 1000)
    with pytest.raises(JobError) as caught:
        pretrain(settings(max_skipped=1), workspace(tmp_path / "w"))
    message = str(caught.value)
    assert "the gradient is not finite at step 4 of" in message
    assert "2 steps were skipped" in message
    assert re.search(r"document '(clean|risky)-\d+' \(component '\1', corpus \1, 00000.parquet, row \d+\)", message)


def test_a_sample_is_traced_to_where_its_documents_begin(tmp_path, settings):
    with process_groups(settings().parallel, 0):
        run = Run(settings(), open_inputs(settings()), workspace(tmp_path))
        dataset = run._batches(run.schedule[0]).dataset
        files = [component.open()[0].tokens for component in run.inputs.mixture.components]
        for index, targets in enumerate(dataset.read(range(len(dataset))).text[:, 1:].tolist()):
            begins = [0] + [at + 1 for at, token in enumerate(targets[:-1]) if token == EOS]
            first_tokens = [int(files[stretch.component][stretch.position]) for stretch in dataset.target_ranges(index)]
            assert first_tokens == [targets[at] for at in begins][: len(first_tokens)]


def test_a_run_that_is_taken_up_again_finds_the_index_that_it_built_and_drops_what_a_kill_left(
    tmp_path, settings, monkeypatch
):
    inodes = []
    original = Run._batches

    def watched(self: Run, epoch: Epoch) -> Batches:
        batches = original(self, epoch)
        files = (tmp_path / INDICES).rglob("*.npy")
        inodes.append({path.relative_to(tmp_path): path.stat().st_ino for path in files})
        return batches

    monkeypatch.setattr(Run, "_batches", watched)
    left = tmp_path / INDICES / ".tmp-left"
    for _ in range(2):
        left.mkdir(parents=True, exist_ok=True)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Run, "_finish", lambda run: None)
            with process_groups(settings().parallel, 0):
                Run(settings(), open_inputs(settings()), workspace(tmp_path)).complete()
        assert not left.exists()
    assert inodes[0] == inodes[1] and len(inodes[0]) > 3
