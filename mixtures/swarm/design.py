"""Designs of proxy runs: Dirichlet draws around the natural proportions, brought within the limits; seeded."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from mixtures.spec.amounts import apportion
from mixtures.swarm.bounds import Bounds
from mixtures.swarm.solving.capped import Array, into_limits
from mixtures.swarm.spec import SampleSpec

DIGITS = 6
"""Decimals of a share: a millionth of a mixture, and every row sums to exactly 1."""


def sample_mixtures(spec: SampleSpec, bounds: Bounds, seed: int) -> Array:
    """Mixtures [runs, components] within the limits; the first is the natural one (brought within them too).

    Strengths are log-spaced and spread evenly over the runs, in seeded order. A draw beyond a limit is moved to the
    nearest mixture within all of them (in Kullback-Leibler divergence) rather than thrown away: at low strengths nearly
    all would be.
    """
    rng = np.random.default_rng([seed, 0x5A])
    natural, floor, cap = (np.asarray(values) for values in (bounds.natural, bounds.floor, bounds.cap))
    prior = natural**spec.temperature / (natural**spec.temperature).sum()
    levels = np.geomspace(*spec.strengths, spec.levels)
    strengths = rng.permutation(np.resize(levels, spec.runs))
    draws = np.stack([rng.dirichlet(prior * strength) for strength in strengths])
    draws[0] = natural
    draws = into_limits((1 - 1e-9) * draws + 1e-9 * prior, floor, cap)
    return np.stack([_rounded(_without_traces(row, spec.minimum, floor, cap), floor, cap) for row in draws])


def _without_traces(shares: Array, minimum: float, floor: Array, cap: Array) -> Array:
    """Shares below the minimum become 0 where the floor allows it; the others take their tokens, within their caps."""
    mask = (shares >= minimum) | (floor > 0)
    if mask.all() or cap[mask].sum() < 1:  # without the traces the others could not make a whole mixture
        return shares
    filled = np.zeros_like(shares)
    filled[mask] = into_limits(shares[mask][None], floor[mask], cap[mask])[0]
    return filled


def _rounded(shares: Array, floor: Array, cap: Array) -> Array:
    """Shares in steps of 10^-DIGITS that sum to exactly 1; no share passes a limit by more than such a step."""
    whole = 10**DIGITS
    return np.asarray(apportion([Fraction(float(share)) * whole for share in shares], whole)) / whole
