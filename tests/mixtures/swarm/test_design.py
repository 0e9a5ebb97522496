"""Designs: within floors and caps, summing to exactly 1, seeded, from few components at a time to nearly natural.

Covers mixtures.swarm.bounds and mixtures.swarm.design.
"""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixtures.swarm.bounds import Bounds, bounds_of
from mixtures.swarm.design import DIGITS, sample_mixtures
from mixtures.swarm.solving.capped import cheapest, into_limits
from mixtures.swarm.spec import SampleSpec, SwarmSpec

BOUNDS = Bounds(("a", "b", "c", "d"), (0.1, 0.2, 0.1, 0.6), (0.0, 0.05, 0.0, 0.1), (0.3, 1.0, 0.25, 0.8))


@st.composite
def limits(draw):
    m = draw(st.integers(2, 6))
    numbers = st.lists(st.floats(0.01, 1.0), min_size=m, max_size=m)
    inside, width = np.asarray(draw(numbers)), np.asarray(draw(numbers))
    inside /= inside.sum()
    return inside * (1 - width), np.minimum(1.0, inside * (1 + 3 * width))


@settings(max_examples=40)
@given(limits(), st.integers(0, 2**32 - 1))
def test_mixtures_brought_within_limits_sum_to_one_and_stay_where_they_can(bounds, seed):
    floor, cap = bounds
    shares = np.random.default_rng(seed).dirichlet(np.full(len(floor), 0.3), 8)
    projected = into_limits(shares, floor, cap)
    np.testing.assert_allclose(projected.sum(1), 1, atol=1e-12)
    assert (projected >= floor - 1e-12).all() and (projected <= cap + 1e-12).all()
    projected_twice = into_limits(projected, floor, cap)
    np.testing.assert_allclose(projected_twice, projected, atol=1e-9)


@settings(max_examples=40)
@given(limits(), st.integers(0, 2**32 - 1))
def test_no_mixture_within_the_limits_is_cheaper_than_the_cheapest(bounds, seed):
    floor, cap = bounds
    rng = np.random.default_rng(seed)
    prices = rng.normal(size=(1, len(floor)))
    best = cheapest(prices, floor, cap)
    others = into_limits(rng.dirichlet(np.full(len(floor), 0.3), 50), floor, cap)
    assert best.sum() == pytest.approx(1) and (best >= floor - 1e-12).all() and (best <= cap + 1e-12).all()
    assert (others @ prices[0]).min() >= (best @ prices[0]).item() - 1e-9


def test_samples_keep_the_limits_and_sum_to_exactly_one():
    mixtures = sample_mixtures(SampleSpec(runs=60), BOUNDS, 0)
    step = 10.0**-DIGITS
    assert (mixtures >= np.asarray(BOUNDS.floor) - step).all() and (mixtures <= np.asarray(BOUNDS.cap) + step).all()
    assert all(round(math.fsum(row) * 10**DIGITS) == 10**DIGITS for row in mixtures)
    np.testing.assert_allclose(mixtures[0], BOUNDS.natural, atol=step)
    traces = mixtures[(mixtures > 0) & (mixtures < 2e-4)]
    assert not len(traces), "shares below the minimum become 0"


def test_the_seed_decides_and_strengths_run_from_few_components_to_nearly_natural():
    free = Bounds(BOUNDS.names, BOUNDS.natural, (0.0,) * 4, (1.0,) * 4)
    first, repeated, other = (sample_mixtures(SampleSpec(runs=90), free, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, repeated)
    assert not np.array_equal(first[1:], other[1:])
    weak = sample_mixtures(SampleSpec(runs=90, strengths=(0.1, 0.1)), free, 0)[1:].max(1).mean()
    strong = sample_mixtures(SampleSpec(runs=90, strengths=(500, 500)), free, 0)[1:].max(1).mean()
    assert weak > 0.85 and abs(strong - 0.6) < 0.03


def test_repetition_caps_follow_from_tokens_and_epochs():
    components = {"a": {"tokens": 100}, "b": {"tokens": 900, "cap": 0.9}}
    spec = SwarmSpec(
        name="s", components=components, sample={"runs": 3}, limits={"training_tokens": 1000, "max_epochs": 2.5}
    )
    bounds = bounds_of(spec.components, spec.limits)
    assert bounds.natural == (0.1, 0.9) and bounds.cap == (0.25, 0.9)
