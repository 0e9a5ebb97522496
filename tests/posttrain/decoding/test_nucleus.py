"""The sampler: the nucleus is the smallest set that reaches top_p, and inverse CDF gives its probabilities."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from posttrain.decoding.nucleus import inverse_cdf, nucleus, uniforms


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 400), st.floats(0, 8), st.floats(0.01, 1.0), st.floats(0.3, 3.0))
def test_nucleus_is_the_smallest_set_that_reaches_top_p(
    seed: int, vocabulary: int, spread: float, top_p: float, temperature: float
) -> None:
    """Against a plain sort in float64; ties (there are many: logits are in steps of a quarter) go by token id."""
    random = np.random.default_rng(seed)
    rows = (random.normal(0, spread, (3, vocabulary)) * 4).round().astype(np.float32) / 4
    computed = nucleus(torch.from_numpy(rows), temperature, top_p)
    for row, tokens, weights in zip(rows, computed.tokens, computed.weights, strict=True):
        scaled = (torch.from_numpy(row) / temperature).double().numpy()
        probabilities = np.exp(scaled - np.logaddexp.reduce(scaled))
        order = np.lexsort((np.arange(len(row)), -scaled))
        before = np.cumsum(probabilities[order]) - probabilities[order]
        size = int((weights > 0).sum())
        assert tokens[:size].tolist() == order[:size].tolist()
        assert before[size - 1] < top_p + 1e-6
        assert size == len(row) or before[size] >= top_p - 1e-6
        np.testing.assert_allclose(weights[:size], probabilities[order[:size]], rtol=1e-5)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=30).filter(lambda weights: sum(weights) > 1e-3))
def test_inverse_cdf_gives_each_index_its_share(values: list[float]) -> None:
    """An even grid of draws must hit each index as often as its weight says, to one grid step on either side."""
    weights = torch.tensor([values], dtype=torch.float64)
    draws = (torch.arange(1000, dtype=torch.float64) + 0.5) / 1000
    picked = inverse_cdf(weights.expand(1000, -1), draws)
    counts = torch.bincount(picked, minlength=len(values)).double()
    assert (counts - 1000 * weights[0] / weights.sum()).abs().max() <= 1.001
    assert (picked.diff() >= 0).all()


def test_a_draw_next_to_one_never_picks_a_token_outside_the_nucleus() -> None:
    weights = torch.tensor([[0.3, 0.1, 0.0, 0.0]], dtype=torch.float64)
    assert inverse_cdf(weights, torch.tensor([np.nextafter(1.0, 0.0)])).item() == 1


def test_draws_belong_to_seed_prompt_sample_and_step_only() -> None:
    whole = uniforms(3, [0, 0, 1, 7], [0, 1, 0, 2], 10)
    assert whole.shape == (4, 10)
    assert torch.equal(uniforms(3, [7, 0], [2, 1], 4), whole[[3, 1], :4])
    assert len(whole.unique()) == whole.numel()
    assert not (uniforms(4, [0], [0], 10) == whole[0]).any()


def test_draws_are_uniform_and_uncorrelated_between_neighbours() -> None:
    draws = uniforms(0, list(range(50)) * 4, [row // 50 for row in range(200)], 50)
    assert abs(draws.mean() - 0.5) < 0.01
    assert abs(draws.var() - 1 / 12) < 0.005
    flat = draws.flatten(1)
    correlation = np.corrcoef(np.stack([flat[0], flat[1], flat[50]]))
    assert np.abs(correlation - np.eye(3)).max() < 0.35
