"""Compiled kernels, products in fp8, and norms that are read a step late: what makes a GPU fast changes no result.

Covers pretrain.model.layers, pretrain.model.projections, pretrain.runtime.late, pretrain.training.gradients.
"""

from __future__ import annotations

import shutil

import pytest
import torch
from torch._dynamo.utils import counters
from torch.utils._device import _device_constructors

from infra.errors import ConfigError, JobError
from pretrain.model.projections import check_float8
from pretrain.runtime.late import Late
from pretrain.runtime.megatron_patches import cpu_as_cuda
from pretrain.training.run import pretrain
from tests.helpers.training_runs import break_gradients, few_steps, log, weights, workspace

LOSS = {"policy": "unlikelihood", "at_or_above": 0.5}


@pytest.mark.skipif(shutil.which("g++") is None, reason="the compiler of CPU kernels needs g++")
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-4), ("fp8", 2e-2)])
def test_compiled_kernels_give_the_losses_and_norms_of_plain_ones_from_one_graph_for_all_layers(
    tmp_path, settings, precision, tolerance
):
    if precision == "fp8":
        pytest.importorskip("torchao")
    torch.compiler.reset()
    counters.clear()
    fast = few_steps(settings(loss=LOSS, precision=precision, compile=True), tmp_path / "compiled")
    assert not counters["graph_break"]
    assert counters["stats"]["unique_graphs"] == 3  # a layer, and the two passes over the logits
    expected = few_steps(settings(loss=LOSS, precision=precision, compile=False), tmp_path / "plain")
    for name in ("losses", "norms") if precision == "fp8" else expected:
        torch.testing.assert_close(fast[name], expected[name], atol=1e-5, rtol=tolerance, msg=name)


def test_kernels_are_compiled_by_themselves_only_on_a_gpu_and_where_bits_need_not_repeat(settings):
    assert not settings().compiles(on_gpu=False)
    assert settings().compiles(on_gpu=True)
    assert not settings(deterministic=True).compiles(on_gpu=True)
    assert not settings(compile=False).compiles(on_gpu=True)


def test_products_in_fp8_stay_close_to_those_in_bf16(tmp_path, settings):
    pytest.importorskip("torchao")
    fast = few_steps(settings(loss=LOSS, precision="fp8"), tmp_path / "fp8", steps=4)
    expected = few_steps(settings(loss=LOSS, precision="bf16"), tmp_path / "bf16", steps=4)
    torch.testing.assert_close(fast["losses"], expected["losses"], rtol=0.02, atol=0)
    torch.testing.assert_close(fast["norms"], expected["norms"], rtol=0.1, atol=0)
    layer = "model.layers.0.mlp.down_proj.weight"
    assert not torch.equal(fast[layer], expected[layer])  # fp8 was really used
    assert torch.nn.functional.cosine_similarity(fast[layer].ravel(), expected[layer].ravel(), dim=0) > 0.98


@pytest.mark.parametrize(
    ("sizes", "reason"), [((32, 128, 2), "parallel.tensor above 1"), ((40, 160, 1), "multiples of 16, not 40 and 160")]
)
def test_fp8_is_refused_where_it_cannot_be_had(sizes, reason):
    pytest.importorskip("torchao")
    with pytest.raises(ConfigError, match=reason):
        check_float8(*sizes)


def test_a_run_that_reads_norms_a_step_late_ends_with_the_bytes_and_the_log_of_one_that_does_not(
    tmp_path, settings, monkeypatch
):
    break_gradients(monkeypatch, 2, 4)
    spec = settings(log_every=3, checkpoint_every=4)
    pretrain(spec, workspace(tmp_path / "prompt"))
    monkeypatch.setattr(Late, "is_late", True)
    pretrain(spec, workspace(tmp_path / "late"))
    assert weights(tmp_path / "late") == weights(tmp_path / "prompt")
    times = {"tokens_per_second", "eta_seconds", "checkpoint_share"}
    fast, expected = (
        [{key: value for key, value in line.items() if key not in times} for line in log(tmp_path / name)]
        for name in ("late", "prompt")
    )
    assert fast == expected


def test_a_run_that_reads_norms_late_stops_and_names_the_step_that_broke(tmp_path, settings, monkeypatch):
    break_gradients(monkeypatch, 2, 1000)
    monkeypatch.setattr(Late, "is_late", True)
    with pytest.raises(JobError, match=r"not finite at step 4 of .*\n?.*document '"):
        pretrain(settings(max_skipped=1), workspace(tmp_path / "w"))


def test_models_are_placed_on_other_devices_as_before_once_a_run_has_ended():
    """PyTorch remembers which factories a device context redirects when it first needs them: here, inside a run."""
    _device_constructors.cache_clear()
    with cpu_as_cuda(), torch.device("meta"):
        torch.empty(1)
    with torch.device("meta"):
        assert torch.arange(3).device == torch.device("meta")
