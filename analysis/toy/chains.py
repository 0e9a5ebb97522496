"""The data: cyclic, deterministic Markov chains over one shared set of states.

A chain is an order in which the states come round, so a sequence is a chain and the state that it begins with: 3 chains
of 4 states are 12 sequences, the features. [P: Li et al. 2025, figure 3]
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
Cycle = Sequence[int]


def sequences(chains: Sequence[Cycle], length: int) -> Array:
    """Every chain from every state, [chains * states, length] int64, chain-major, states in the chain's order."""
    rows = [[chain[(start + step) % len(chain)] for step in range(length)]
            for chain in chains for start in range(len(chain))]  # fmt: skip
    return np.array(rows, dtype=np.int64)


def chain_of(chains: Sequence[Cycle]) -> Array:
    """The chain of each feature, [chains * states]."""
    return np.repeat(np.arange(len(chains)), len(chains[0]))


def probabilities(chains: Sequence[Cycle], rare: int, share: float) -> Array:
    """How often a sequence is drawn, [features]: the rare chain has `share`, the others the rest in equal parts; the
    states that a chain begins with are equally likely.
    """
    of_chain = np.full(len(chains), (1 - share) / (len(chains) - 1))
    of_chain[rare] = share
    return of_chain[chain_of(chains)] / len(chains[0])


def shared_edges(chains: Sequence[Cycle]) -> int:
    """Directed edges that two chains have in common, over all pairs.

    Three 4-cycles share two at least: the complete directed graph of 4 points has no decomposition into Hamiltonian
    cycles (Tillson 1980), and two that are no reverses of one another share one.
    """
    edges = [{(chain[i - 1], chain[i]) for i in range(len(chain))} for chain in chains]
    return sum(len(a & b) for a, b in combinations(edges, 2))


def readable_from(chains: Sequence[Cycle]) -> int:
    """The first position (from 0) at which every prefix tells its chain."""
    rows = sequences(chains, len(chains[0]) + 1)
    return next(n - 1 for n in range(1, rows.shape[1] + 1) if len(np.unique(rows[:, :n], axis=0)) == len(rows))
