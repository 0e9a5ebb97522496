"""What is minimised: the weighted mean of predicted targets, plus a penalty for leaving the natural proportions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixtures.swarm.responses.base import Response
from mixtures.swarm.solving.capped import Array


@dataclass(frozen=True)
class Term:
    """A response model of R weightings × T targets, and the weight [t] of each target in the objective."""

    response: Response
    weights: Array


@dataclass(frozen=True)
class Objective:
    """The terms, whose weights sum to 1, and where mixtures may lie (arrays [m])."""

    terms: tuple[Term, ...]
    natural: Array
    floor: Array
    cap: Array
    penalty: float

    @property
    def convex(self) -> bool:
        """Whether it can be solved exactly."""
        return all(term.response.convex for term in self.terms)

    def values(self, mixtures: Array) -> Array:
        """Weighted means of the predicted targets [r, n], without the penalty."""
        predicted = [np.einsum("rtn,t->rn", term.response.predict(mixtures), term.weights) for term in self.terms]
        return np.asarray(sum(predicted))

    def price(self, mixtures: Array) -> Array:
        """The penalty [n]: `penalty` × KL(mixture, natural)."""
        return self.penalty * divergence(mixtures, self.natural)


def divergence(mixtures: Array, natural: Array) -> Array:
    """Kullback-Leibler divergence of mixtures [..., m] from the natural one, in nats; 0 · log 0 is 0."""
    safe = np.where(mixtures > 0, mixtures, 1.0)
    return (mixtures * np.log(safe / natural)).sum(-1)
