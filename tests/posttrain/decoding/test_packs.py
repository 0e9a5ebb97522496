"""Rows of unlike need in few forwards."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from posttrain.decoding.packs import packed
from posttrain.decoding.state import Decoding
from posttrain.model import CausalModel

NEEDS = st.lists(st.integers(1, 20), min_size=1, max_size=40)


@given(NEEDS, st.integers(0, 200))
def test_every_row_is_in_one_pack_that_is_wide_enough(needed: list[int], cost: int) -> None:
    packs = packed(needed, cost)
    assert sorted(row for pack in packs for row in pack.rows) == list(range(len(needed)))
    assert all(pack.width == max(needed[row] for row in pack.rows) for pack in packs)
    time = sum(cost + len(pack.rows) * pack.width for pack in packs)
    assert time <= cost + len(needed) * max(needed)
    assert time <= sum(cost + width * needed.count(width) for width in set(needed))


def test_packs_are_cut_where_a_further_forward_costs_less_than_it_spares() -> None:
    needed = [1, 20, 1, 2, 1, 20]
    assert [(pack.rows, pack.width) for pack in packed(needed, 5)] == [([0, 2, 3, 4], 2), ([1, 5], 20)]
    assert [pack.width for pack in packed(needed, 0)] == [1, 2, 20]
    assert [pack.width for pack in packed(needed, 1000)] == [20]


@torch.inference_mode()
@pytest.mark.parametrize("fixed", [False, True])
def test_packed_candidates_are_those_of_one_forward(
    model: CausalModel, fixed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what is kept afterwards goes on as if all had been computed."""
    for name in ("_PACK_COST", "_PACK_COST_GPU"):
        monkeypatch.setattr(f"posttrain.decoding.state.{name}", 1)
    contexts, needed = [[0, 5, 9, 4, 7], [0, 3], [0, 8, 8, 2]], torch.tensor([1, 4, 2])
    whole, parts = (Decoding(model, 16, fixed) for _ in range(2))
    candidates = whole.prefill(contexts).topk(4).indices
    parts.prefill(contexts)
    every, some = whole.branch(candidates), parts.branch(candidates, needed)
    for row, count in enumerate(needed.tolist()):
        torch.testing.assert_close(some[row, :count], every[row, :count], atol=1e-5, rtol=1e-5)
    for state in (whole, parts):
        state.keep(torch.tensor([0, 3, 1]))
    tokens = torch.tensor([3, 4, 5])
    torch.testing.assert_close(parts.extend(tokens), whole.extend(tokens), atol=1e-5, rtol=1e-5)
