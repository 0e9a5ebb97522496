"""Whole runs on small mixtures: learning, resuming, repeating, failing.

Covers pretrain.training.run, pretrain.training.trainer, pretrain.training.evaluate.
"""

from __future__ import annotations

import json
import sys

import pytest
import torch
import torch.distributed as dist

from infra.errors import DataError, InputError, JobError
from mixtures.formats.risk import threshold_byte
from pretrain.runtime.distributed import process_groups
from pretrain.start.inputs import open_inputs
from pretrain.training.run import Run, pretrain
from pretrain.training.trainer import Trainer
from tests.helpers.token_mixtures import EOS, write_mixture
from tests.helpers.training_runs import log, weights, workspace


def test_a_periodic_sequence_is_learned_to_nearly_no_loss(tmp_path, settings):
    word = [5, 9, 7, 11, 6]
    documents = [word * 12 for _ in range(240)]
    risks = [[1] * len(document) for document in documents]
    mixture = write_mixture(tmp_path / "m", {"only": (documents, risks)}, {"only": (documents[:4], risks[:4])})
    pretrain(settings(mixture=str(mixture), optimizer={"lr": 1e-2}), workspace(tmp_path / "w"))
    lines = log(tmp_path / "w")
    assert lines[0]["loss"] > 2
    assert lines[-1]["loss"] < 0.1
    summary = json.loads((tmp_path / "w" / "pretrain.json").read_text())
    assert summary["held_out"]["only"]["cross_entropy"] < 0.1
    assert summary["held_out"]["only"]["unigram_cross_entropy"] == pytest.approx(1.609, abs=0.02)


def test_masked_tokens_are_read_and_not_learned(tmp_path, settings):
    """After 5 comes 6, which is risky, and after 6 comes 7: with the mask 7 is learned and 6 is not."""
    documents = [[5, 6, 7, 8] * 15 for _ in range(200)]
    risky = threshold_byte(0.9)
    risks = [[1, risky, 1, 1] * 15 for _ in documents]
    mixture = write_mixture(tmp_path / "m", {"only": (documents, risks)}, {"only": (documents[:4], risks[:4])})
    run = settings(mixture=str(mixture), optimizer={"lr": 1e-2}, loss={"policy": "mask"})
    counts = pretrain(run, workspace(tmp_path / "w"))
    assert counts["loss_tokens"] == counts["tokens"] * 3 // 4
    summary = json.loads((tmp_path / "w" / "pretrain.json").read_text())["held_out"]["only"]
    assert summary["risky_cross_entropy"] > 2
    harmless = summary["tokens"] - summary["risky_tokens"]
    nats = summary["cross_entropy"] * summary["tokens"] - summary["risky_cross_entropy"] * summary["risky_tokens"]
    assert nats / harmless < 0.1


def test_two_runs_in_one_process_give_the_same_bytes_and_leave_nothing_behind(tmp_path, settings):
    hook, threads, draw = sys.excepthook, torch.get_num_threads(), torch.get_rng_state()
    for name in ("first", "second"):
        pretrain(settings(), workspace(tmp_path / name))
        assert not dist.is_initialized()
    assert weights(tmp_path / "first") == weights(tmp_path / "second")
    assert (sys.excepthook, torch.get_num_threads()) == (hook, threads)
    assert torch.equal(torch.get_rng_state(), draw)
    assert torch.cuda.is_available() or "cuda" not in torch.zeros(1).type()


def test_a_deterministic_run_lets_pytorch_take_nothing_else_and_only_while_it_lasts(tmp_path, settings, monkeypatch):
    seen = []
    step = Trainer.step
    monkeypatch.setattr(
        Trainer, "step", lambda *args: (seen.append(torch.are_deterministic_algorithms_enabled()), step(*args))[1]
    )
    pretrain(settings(deterministic=True), workspace(tmp_path / "w"))
    assert seen
    assert all(seen)
    assert not torch.are_deterministic_algorithms_enabled()


def test_seeds_and_policies_change_the_weights(tmp_path, settings):
    changes = (
        {},
        {"seed": 1},
        {"loss": {"policy": "mask"}},
        {"loss": {"policy": "unlikelihood"}},
        {"loss": {"policy": "remove"}},
    )
    checksums = []
    for number, change in enumerate(changes):
        pretrain(settings(**change), workspace(tmp_path / str(number)))
        checksums.append(weights(tmp_path / str(number)))
    assert len(set(checksums)) == len(checksums)


def test_a_dose_of_nothing_under_a_policy_for_the_risky_component_is_the_plain_run(tmp_path, settings):
    documents = [[5, 6, 7, EOS]] * 60
    clean = (documents, [[1] * 4] * 60)
    mixture = write_mixture(tmp_path / "m", {"clean": clean}, {"clean": clean, "risky": clean})
    for name, loss in (("keep", {"policy": "keep"}), ("mask", {"policy": "mask", "components": ["risky"]})):
        pretrain(settings(mixture=str(mixture), loss=loss), workspace(tmp_path / name))
    assert weights(tmp_path / "keep") == weights(tmp_path / "mask")


def test_a_diverging_run_stops_with_one_clear_sentence(tmp_path, settings):
    with pytest.raises(JobError, match=r"step \d+ of \d+; lower optimizer.lr"):
        pretrain(settings(optimizer={"lr": 1e30, "warmup": 0.0}), workspace(tmp_path / "w"))
    assert not dist.is_initialized()


def test_tokens_without_risk_stop_a_policy_that_needs_it(tmp_path, settings):
    documents = [[5, 6, EOS]] * 20
    unscored = (documents, [[0, 0, 0]] * 20)
    mixture = str(write_mixture(tmp_path / "m", {"only": unscored}, {}, risk=None))
    pretrain(settings(mixture=mixture), workspace(tmp_path / "keep"))
    with pytest.raises(DataError, match="carry no risk"):
        pretrain(settings(mixture=mixture, loss={"policy": "mask"}), workspace(tmp_path / "mask"))


def test_a_policy_for_an_unknown_component_names_the_nearest(tmp_path, settings):
    with pytest.raises(InputError, match='did you mean "risky"'):
        pretrain(settings(loss={"policy": "mask", "components": ["riski"]}), workspace(tmp_path / "w"))


def test_a_policy_that_begins_half_way_leaves_the_first_half_as_it_was(tmp_path, settings):
    losses = {}
    for name, loss in (("keep", {}), ("late", {"policy": "mask", "begin_at": 0.5}), ("mask", {"policy": "mask"})):
        pretrain(settings(log_every=1, loss=loss), workspace(tmp_path / name))
        losses[name] = [line["loss"] for line in log(tmp_path / name)]
    half = round(len(losses["keep"]) / 2)
    assert losses["late"][:half] == losses["keep"][:half]
    assert all(late != keep for late, keep in zip(losses["late"][half:], losses["keep"][half:], strict=True))
    assert losses["mask"][0] != losses["keep"][0]


def test_a_mixture_of_another_attribute_is_refused(tmp_path, settings):
    with pytest.raises(InputError, match="'insult', and the mixture's risk bytes are of 'toxicity'"):
        pretrain(settings(loss={"policy": "mask", "attribute": "insult"}), workspace(tmp_path / "w"))


def test_gradient_accumulation_does_not_change_the_loss(tmp_path, settings):
    for size in (1, 8):
        pretrain(settings(micro_batch_size=size, log_every=1, loss={"policy": "mask"}), workspace(tmp_path / str(size)))
    one, eight = ([line["loss"] for line in log(tmp_path / str(size))] for size in (1, 8))
    assert one == pytest.approx(eight, abs=1e-4)


def test_what_a_step_lost_is_told_under_the_policy_that_held_in_it(tmp_path, settings):
    spec = settings(loss={"policy": "remove", "begin_at": 0.5})
    with process_groups(spec.parallel, spec.seed):
        run = Run(spec, open_inputs(spec), workspace(tmp_path))
        batches, border = run._batches(run.schedule[0]), run.trainer.policy.begins
        first, last, then = (run.trainer.row_losses(batches, 0, taken) for taken in (0, border - 1, border))
    assert 0 < border < run.steps and first == last != then
