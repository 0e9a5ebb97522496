"""The solver for response models without gradients (trees): many mixtures within the limits, the mean of the best.

As RegMix does it (arXiv 2407.01492), with a second round around the first one's answer. Trees are flat between their
splits and the lowest single prediction is the luckiest one, so the answer is the mean of the best hundredth.
"""

from __future__ import annotations

import numpy as np

from mixtures.swarm.solving.capped import Array, into_limits
from mixtures.swarm.solving.objective import Objective

CANDIDATES = 2048
"""Mixtures in each round."""
SHARE = 0.01
"""Part of them whose mean is the answer."""
STRENGTHS = (0.5, 100.0)
"""Concentrations of the first round."""
NEAR = 200.0
"""Concentration of the second round, around the first one's answer."""


def search(objective: Objective, candidates: Array) -> tuple[Array, Array]:
    """The best mixtures [r, m] among candidates [n, m], and their values [r] without the penalty."""
    penalised = objective.values(candidates) + objective.price(candidates)
    count = max(1, round(SHARE * len(candidates)))
    best = np.argpartition(penalised, count - 1, axis=1)[:, :count]
    means = candidates[best].mean(1)
    return means, np.diagonal(objective.values(means)).copy()


def candidates_for(objective: Objective, seed: int) -> Array:
    """The mixtures of both rounds for an objective of one weighting; replicates are then judged on the same ones."""
    rng = np.random.default_rng([seed, 0xCA])
    strengths = rng.permutation(np.geomspace(*STRENGTHS, CANDIDATES))
    first = np.stack([rng.dirichlet(objective.natural * strength) for strength in strengths])
    first = into_limits(first + 1e-9, objective.floor, objective.cap)
    centre, _ = search(objective, first)
    second = rng.dirichlet(np.maximum(centre[0], 1e-4) * NEAR, CANDIDATES)
    return np.concatenate([first, into_limits(second + 1e-9, objective.floor, objective.cap)])
