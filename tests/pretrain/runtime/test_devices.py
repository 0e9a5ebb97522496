"""A model on another device than the CPU: PyTorch's meta device holds shapes, computes nothing, and refuses to mix.

Covers pretrain.runtime.device, pretrain.training.trainer.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch

from benchmarks.training import parity
from pretrain.runtime.distributed import process_groups
from pretrain.start.inputs import open_inputs
from pretrain.training.run import Run
from tests.helpers.training_runs import workspace

META = torch.device("meta")
POLICIES = {
    "keep": {"policy": "keep"},
    "mask": {"policy": "mask", "at_or_above": 0.5},
    "unlikelihood": {"policy": "unlikelihood", "at_or_above": 0.5},
    "remove": {"policy": "remove", "at_or_above": 0.5},
    "by component": {"policy": "mask", "by_component": {"risky": {"policy": "unlikelihood", "at_or_above": 0.2}}},
}


@pytest.fixture
def run_on_meta(tmp_path, settings):
    """Makes a run whose weights and tables were moved to the meta device, inside process groups."""

    def make(**changes) -> Run:
        spec = settings(**changes)
        run = Run(spec, open_inputs(spec), workspace(tmp_path))
        trainer = run.trainer
        trainer.device = META
        trainer.model.to(META)
        trainer.policy, trainer._level = trainer.policy.to(META), trainer._level.to(META)
        return run

    with process_groups(settings().parallel, 0):
        yield make


@pytest.mark.parametrize("loss", POLICIES.values(), ids=POLICIES)
def test_a_training_step_stays_on_the_device_of_its_model(run_on_meta, loss):
    run = run_on_meta(loss=loss)
    trainer = run.trainer
    model = trainer.model
    weights = [weight.detach().requires_grad_() for weight in model.parameters()]  # without the hooks of Megatron's DDP
    names = [name for name, _ in model.named_parameters()]
    batch = next(run._batches(run.schedule[0]).read(0, META))

    def forward(*args, **kwargs):
        return torch.func.functional_call(model, dict(zip(names, weights, strict=True)), args, kwargs)

    cross_entropy, loss_of = trainer._training_step(trainer.policy.at(0), iter([batch]), forward)
    total, count, reported = loss_of(cross_entropy)
    assert {total.device, count.device, reported.device} == {META}
    gradients = torch.autograd.grad(total, weights)
    assert all(gradient.device == META for gradient in gradients)


def test_an_evaluation_stays_on_the_device_of_its_model(run_on_meta):
    run = run_on_meta()
    row_step = partial(run.trainer._row_step, run.trainer.policy.at(0))
    for forward in (run.trainer._evaluation_step, row_step):
        batch = next(run._batches(run.schedule[0]).read(0, META))
        cross_entropy, report = forward(iter([batch]), run.trainer.model)
        assert {cross_entropy.device, report(cross_entropy)[2].device} == {META}


def test_rotary_positions_follow_their_model_but_not_to_half_precision(run_on_meta):
    rotary = run_on_meta().trainer.model.rotary_pos_emb
    assert rotary.inv_freq.device == META
    rotary.to(torch.bfloat16)
    assert rotary.inv_freq.dtype == torch.float32


@pytest.mark.gpu
def test_a_gpu_gives_the_losses_and_gradient_norms_of_the_processor():
    here, there = parity.measure(2), parity.on_the_cpu(2)
    assert here.keys() == there.keys()
    for policy, figures in here.items():
        np.testing.assert_allclose(figures, there[policy], rtol=parity.LIMIT, err_msg=policy)
