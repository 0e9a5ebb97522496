"""Batch sizes from free memory, and going on with smaller ones when it runs out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from posttrain.decoding import memory
from posttrain.decoding.memory import free_bytes, out_of_memory, rows_that_fit
from posttrain.decoding.sampling import Sampling
from posttrain.model import CausalModel
from posttrain.steered import bind

CPU = torch.device("cpu")


def test_free_memory_of_a_cpu_is_the_smaller_of_the_machine_s_and_the_container_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {
        "_MEMINFO": "MemTotal: 9000 kB\nMemAvailable:    4000 kB\n",
        "_CGROUP_LIMIT": "max",
        "_CGROUP_USED": "1000",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
        monkeypatch.setattr(memory, name, tmp_path / name)
    assert free_bytes(CPU) == 4000 * 1024
    (tmp_path / "_CGROUP_LIMIT").write_text("501000\n")
    assert free_bytes(CPU) == 500_000
    (tmp_path / "_CGROUP_USED").write_text("600000")
    assert free_bytes(CPU) == 0


def test_rows_follow_free_memory_and_shrink_with_the_length_of_a_row(
    model: CausalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda _: 10**8)
    rows = rows_that_fit([model], 100)
    assert 0 < rows < 10**8 // (100 * model.cache_bytes)
    assert rows_that_fit([model], 200) < rows
    monkeypatch.setattr(memory, "free_bytes", lambda _: 2 * 10**8)
    assert abs(rows_that_fit([model], 100) - 2 * rows) <= 1


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"), True),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
    ],
)
def test_running_out_of_memory_is_told_from_other_errors(error: RuntimeError, expected: bool) -> None:
    assert out_of_memory(error) is expected


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory."), RuntimeError("not enough memory")])
def test_a_batch_that_runs_out_of_memory_is_halved_and_gives_the_same(
    model: CausalModel, error: RuntimeError, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network takes three rows at most, but for the prompts, which are read once."""
    sampling, prompts = Sampling(max_new_tokens=6, samples=4), ["the garden", "you", "a calm reply"]
    steered = bind(model, None, 0)
    expected, sizes, counted = steered.generate(prompts, sampling), [], []
    hidden = CausalModel.hidden

    def small(self: CausalModel, ids: torch.Tensor, **arguments: Any) -> torch.Tensor:
        sizes.append(len(ids))
        if len(ids) > 3:
            raise error
        return hidden(self, ids, **arguments)

    monkeypatch.setattr(CausalModel, "hidden", small)
    assert steered.generate(prompts, sampling, counted.append) == expected
    assert counted == [3, 3, 3, 3]
    assert {size for size in sizes if size > 3} == {12, 6}


def test_a_single_row_that_does_not_fit_and_other_errors_are_raised(
    model: CausalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors: list[RuntimeError] = [RuntimeError("shapes"), *[torch.OutOfMemoryError("out of memory")] * 3]

    def failing(*_: Any, **__: Any) -> torch.Tensor:
        raise errors.pop(0)

    monkeypatch.setattr(CausalModel, "hidden", failing)
    steered, prompts = bind(model, None, 0), ["the garden", "you", "a", "by noon"]
    with pytest.raises(RuntimeError, match="shapes"):
        steered.generate(prompts, Sampling(max_new_tokens=2))
    with pytest.raises(torch.OutOfMemoryError):
        steered.generate(prompts, Sampling(max_new_tokens=2))
    assert not errors
