"""The step of fixed shapes, as a CUDA graph needs it, gives what the growing cache gives; here on a CPU."""

from __future__ import annotations

import pytest
import torch

from posttrain.decoding.graph import FixedStep
from posttrain.decoding.state import Decoding, additive
from posttrain.model import CausalModel

CONTEXTS = [[0, 5, 9, 4, 7], [0, 3], [0, 8, 8, 2]]
STEPS = 6


@pytest.fixture(params=["model", "gqa_model", "neox_model"])
def any_model(request: pytest.FixtureRequest) -> CausalModel:
    return request.getfixturevalue(request.param)


@torch.inference_mode()
def test_a_step_of_fixed_shapes_gives_the_tokens_of_the_growing_one(any_model: CausalModel) -> None:
    """Greedy, from left-padded contexts, in a cache with room to spare that holds no zeros."""
    growing, fixed = (Decoding(any_model, 5 + STEPS + 9) for _ in range(2))
    tokens = growing.prefill(CONTEXTS).argmax(-1)
    assert tokens.tolist() == fixed.prefill(CONTEXTS).argmax(-1).tolist()
    step = FixedStep(any_model, fixed.cache, rows=3, count=1)
    for _ in range(STEPS):
        expected = growing.extend(tokens)
        seen = fixed.seen.clone()
        seen[:, fixed.cache.length] = True
        hidden = step(tokens[:, None], additive(seen[:, None], any_model), fixed.position[:, None])
        fixed._append()
        fixed.cache.commit(1)
        torch.testing.assert_close(any_model.logits(hidden[:, -1]), expected, atol=1e-5, rtol=1e-5)
        tokens = expected.argmax(-1)
