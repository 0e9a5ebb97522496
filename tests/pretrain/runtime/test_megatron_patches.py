"""What of Megatron and PyTorch is patched: by one module, for the pinned versions, and no longer than it says."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from megatron.core.dist_checkpointing.strategies import filesystem_async
from megatron.core.optimizer.distrib_optimizer import DistributedOptimizer

import pretrain
from pretrain.runtime import megatron_patches
from pretrain.runtime.megatron_patches import (
    WRITTEN_FOR,
    checkpoint_written_in_this_process,
    cpu_as_cuda,
    step_beside_moments,
)

_PATCHED = {
    cpu_as_cuda: (torch, "empty"),
    step_beside_moments: (DistributedOptimizer, "_set_main_param_and_optimizer_states"),
    checkpoint_written_in_this_process: (filesystem_async, "_get_write_results_queue"),
}


def test_the_patches_are_written_for_the_versions_that_are_installed():
    assert {name: version(name).partition("+")[0] for name in WRITTEN_FOR} == WRITTEN_FOR
    docs = Path(pretrain.__file__).parents[1] / "docs" / "pretraining.md"
    for name, number in WRITTEN_FOR.items():
        assert f"`{name}=={number}`" in docs.read_text(encoding="utf-8")


def test_no_other_module_of_pretrain_patches_a_library():
    folder = Path(pretrain.__file__).parent
    patching = [file for file in folder.rglob("*.py") if "mock.patch" in file.read_text(encoding="utf-8")]
    assert patching == [Path(megatron_patches.__file__)]


@pytest.mark.parametrize("patch", _PATCHED, ids=lambda patch: patch.__name__)
def test_what_was_patched_is_as_before_when_the_block_fails(patch, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    owner, name = _PATCHED[patch]
    before = getattr(owner, name)
    with pytest.raises(RuntimeError, match="failed"), patch():
        assert getattr(owner, name) is not before
        raise RuntimeError("failed")
    assert getattr(owner, name) is before


def test_on_a_machine_without_cuda_megatrons_cuda_tensors_are_the_cpus():
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA, where nothing is replaced")
    with cpu_as_cuda():
        zeros = torch.zeros(2, device="cuda", pin_memory=True)
        assert zeros.device.type == "cpu" and zeros.type() == "torch.cuda.FloatTensor"
        assert torch.empty(1, device=torch.device("cuda", 0)).device.type == "cpu"
    with pytest.raises((RuntimeError, AssertionError)):
        torch.zeros(2, device="cuda")
