"""The exact solver against brute force on small simplexes, with floors, caps and penalties; the search beside it.

Covers mixtures.swarm.solving.capped, mixtures.swarm.solving.convex, mixtures.swarm.solving.objective and
mixtures.swarm.solving.search.
"""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixtures.swarm.responses.log_linear import LogLinear
from mixtures.swarm.solving.capped import cheapest
from mixtures.swarm.solving.convex import Exponentials, solve_exponentials
from mixtures.swarm.solving.objective import Objective, Term, divergence
from mixtures.swarm.solving.optimum import solve
from mixtures.swarm.solving.search import candidates_for

LIMITS = {
    "none": ([0.0, 0.0, 0.0], [1.0, 1.0, 1.0]),
    "caps": ([0.0, 0.0, 0.0], [0.3, 0.5, 0.6]),
    "floors": ([0.2, 0.1, 0.3], [1.0, 1.0, 1.0]),
    "held": ([0.25, 0.0, 0.0], [0.25, 0.4, 1.0]),
    "one": ([0.2, 0.3, 0.1], [0.2, 0.3, 0.5]),
}


def grid(floor, cap, steps=200):
    """Every mixture of three components in steps of 1/200 that lies within the limits."""
    counts = np.asarray(
        [(a, b, steps - a - b) for a, b in itertools.product(range(steps + 1), repeat=2) if a + b <= steps]
    )
    shares = counts / steps
    inside = ((shares >= np.asarray(floor) - 1e-9) & (shares <= np.asarray(cap) + 1e-9)).all(1)
    return shares[inside]


def problem(slopes, floor, cap, penalty, natural=(0.2, 0.3, 0.5)):
    slopes = np.asarray(slopes, float)
    amplitudes = np.full(slopes.shape[1], 1 / slopes.shape[1])
    return Exponentials(slopes, amplitudes, np.asarray(natural), np.asarray(floor), np.asarray(cap), penalty)


def total(asked, mixtures):
    """The penalised objective of the first replicate at mixtures [n, m], written down anew."""
    values = np.exp(mixtures @ asked.slopes[0].T) @ asked.amplitudes
    return values + asked.penalty * divergence(mixtures, asked.natural)


@pytest.mark.parametrize("limits", LIMITS)
@pytest.mark.parametrize("penalty", [0.0, 0.05, 2.0])
def test_no_point_of_a_fine_grid_beats_the_solver(limits, penalty):
    floor, cap = LIMITS[limits]
    rng = np.random.default_rng(0)
    asked = problem(rng.normal(scale=1.5, size=(4, 3, 3)), floor, cap, penalty)
    solution = solve_exponentials(asked)
    np.testing.assert_allclose(solution.sum(1), 1, atol=1e-9)
    assert (solution >= np.asarray(floor) - 1e-9).all() and (solution <= np.asarray(cap) + 1e-9).all()
    mixtures = grid(floor, cap)
    for row in range(4):
        one = problem(asked.slopes[row : row + 1], floor, cap, penalty)
        best, ours = total(one, mixtures).min(), total(one, solution[row : row + 1])[0]
        assert ours <= best + 1e-7
        assert ours >= best - 0.01, "lower than any grid point nearby can be: not a value of this objective"


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(2, 9), st.floats(0.0, 1.0))
def test_the_duality_gap_is_closed(seed, m, penalty):
    rng = np.random.default_rng(seed)
    natural = rng.dirichlet(np.full(m, 3.0))
    asked = problem(rng.normal(scale=2, size=(2, 3, m)), np.zeros(m), np.minimum(1, 4 * natural), penalty, natural)
    solution = solve_exponentials(asked)
    gradient = asked.gradient(solution)
    gap = (gradient * (solution - cheapest(gradient, asked.floor, asked.cap))).sum(1)
    assert (gap <= 1e-6 * (1 + asked.value(solution))).all()


def test_the_search_comes_near_the_exact_solution():
    rng = np.random.default_rng(1)
    law = LogLinear(np.ones((1, 2)), rng.normal(scale=1.5, size=(1, 2, 4)))
    natural, floor, cap = np.array([0.1, 0.2, 0.3, 0.4]), np.zeros(4), np.array([0.4, 0.6, 1.0, 1.0])
    objective = Objective((Term(law, np.array([0.5, 0.5])),), natural, floor, cap, 0.05)
    exact, value = solve(objective, None)
    near, searched = solve(objective, candidates_for(objective, 0))
    ours = searched + objective.price(near)
    assert value + objective.price(exact) - 1e-9 <= ours <= value + objective.price(exact) + 0.01
