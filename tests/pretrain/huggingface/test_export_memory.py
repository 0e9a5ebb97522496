"""The exported file is written weight by weight: the bytes of safetensors, and never a second model in memory.

Covers pretrain.huggingface.weight_file, pretrain.huggingface.folder.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from benchmarks.training.export_memory import SHAPE, export_in
from pretrain.huggingface.weight_file import write_weights
from pretrain.spec import ParallelSpec
from tests.helpers.many_ranks import on_ranks

SMALL = replace(SHAPE, num_layers=16, hidden_size=256, ffn_hidden_size=1024, vocab_size=4095)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weights_written_one_by_one_give_the_bytes_of_safetensors(tmp_path, dtype):
    shapes = {"b.10": (3, 5), "b.9": (7, 2), "a": (1, 1)}
    state = {name: torch.randn(shape).to(dtype) for name, shape in shapes.items()}
    state["b.9"] = state["b.9"].T.contiguous().T  # laid out otherwise in memory
    write_weights(tmp_path / "ours", shapes, dtype, state.items())
    whole = {name: weight.contiguous() for name, weight in state.items()}
    save_file(whole, tmp_path / "theirs", metadata={"format": "pt"})
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()


def test_a_weight_that_is_missing_or_of_another_size_is_no_file(tmp_path):
    shapes = {"a": (2, 2), "b": (2, 2)}
    with pytest.raises(AssertionError, match="no weight came for"):
        write_weights(tmp_path / "file", shapes, torch.float32, [("a", torch.zeros(2, 2))])
    with pytest.raises(AssertionError, match="a"):
        write_weights(tmp_path / "file", shapes, torch.float32, [("a", torch.zeros(4, 1))])


@pytest.mark.parametrize("parallel", [ParallelSpec(), ParallelSpec(tensor=2)], ids=["copies", "tensor × copies"])
def test_an_export_adds_less_than_a_model_to_the_first_rank_however_many_copies_there_are(tmp_path, parallel):
    """71 MB on four ranks; the largest weight is a sixteenth of it."""
    on_ranks(4, export_in, tmp_path, SMALL, parallel)
    assert float((tmp_path / "ratio").read_text()) < 0.75
    assert sum(weight.numel() for weight in load_file(tmp_path / "model.safetensors").values()) == SMALL.parameters
