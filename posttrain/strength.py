"""The strength that costs a budget: how much worse than the unsteered model a recipe may predict clean text.

A strength means nothing across models and methods (Li et al.'s α = 4 costs 0.05 nats per token on one model and 1 on
another), a price does. It is found by cross-entropy alone, without generating: the interval around the budget is
bracketed by doubling or halving from the method's first default strength, and narrowed on the logarithm of the
strength. Cost is close to a power of the strength there, so most tries are where the line through the ends of the
bracket on logarithmic axes meets the budget; every third halves the bracket, which bounds their number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from infra.errors import AmountError, InputError
from posttrain.cross_entropy import DocumentCrossEntropy
from posttrain.fitted import Fitted
from posttrain.model import CausalModel
from posttrain.steered import bind_all

DOUBLINGS, HALVINGS, MOST_PASSES = 10, 20, 60
"""A thousand times the first strength is very large for every method; a millionth of it does nothing."""
RESAMPLES = 2000


def tolerance_of(budget: float) -> float:
    """Nats per token below the budget at which a strength is near enough."""
    return min(0.1 * budget, 0.005)


@dataclass(frozen=True)
class Cost:
    """Nats per token above the unsteered model, with a 95 % interval over documents."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class FoundStrength:
    """The strength found for a budget, and what it costs on the documents on which it was found."""

    strength: float
    """0 where the rest of the recipe alone costs more than the budget."""
    budget: float
    """Nats per token above the unsteered model."""
    cost: Cost
    reached: bool
    """Whether the cost is within the tolerance below the budget; a method may saturate before."""
    documents: int
    passes: int
    """Passes over the documents that it took."""


class Tried(NamedTuple):
    """A strength and its cost in nats per token."""

    strength: float
    cost: float


class Search(NamedTuple):
    """Where a search ended, and after how many tries."""

    strength: float
    reached: bool
    tries: int


def find_strength(
    model: CausalModel,
    fits: Sequence[tuple[Fitted, float | None]],
    documents: Sequence[str],
    budget: float,
    *,
    reference: CausalModel | None = None,
    max_tokens_per_document: int | None = None,
    transfer: bool = False,
    seed: int = 0,
) -> FoundStrength:
    """The strength of the one entry of `fits` without any at which the recipe costs `budget` nats per token.

    Costs count from `reference` unsteered (default: `model`). Raises InputError where not exactly one strength is open,
    a method does not fit the model (see `posttrain.steered.bind`) or its cross-entropy is no number, AmountError where
    the documents have no token to predict.
    """
    free = [fitted for fitted, strength in fits if strength is None]
    if len(free) != 1:
        raise InputError(f"a budget sets the strength of one method, and {len(free)} of this recipe have none")

    def measure(strength: float) -> DocumentCrossEntropy:
        bound = [(fitted, strength if fixed is None else fixed) for fitted, fixed in fits]
        return bind_all(model, bound, transfer).cross_entropy(documents, max_tokens_per_document)

    plain = bind_all(reference or model, []).cross_entropy(documents, max_tokens_per_document)
    if len(documents) < 2 or plain.tokens.sum() == 0:
        raise AmountError("a strength is found on 2 documents or more with tokens to predict")
    if not math.isfinite(plain.per_token):
        raise InputError(
            f"the model's cross-entropy is {plain.per_token}, so nothing can be said of what steering costs"
        )
    is_alone = len(fits) == 1 and reference is None
    measured = {0.0: plain if is_alone else measure(0.0)}

    def cost(strength: float) -> float:
        measured[strength] = measure(strength)
        return measured[strength].per_token - plain.per_token

    rest = measured[0.0].per_token - plain.per_token
    end = search(cost, budget, free[0].args.strengths[0], rest)
    price = _interval(measured[end.strength], plain, seed)
    return FoundStrength(end.strength, budget, price, end.reached, len(documents), end.tries + 1)


def search(cost: Callable[[float], float], budget: float, first: float, rest: float = 0.0) -> Search:
    """The strength whose cost is the budget, from below, within `tolerance_of(budget)`, for a cost that rises with it.

    Begins at `first`; `rest` is the cost at strength 0. A cost that is no number is beyond every budget. Where none
    reaches it, the largest strength tried; where all exceed it, 0.
    """
    tolerance = tolerance_of(budget)
    if not rest <= budget:
        return Search(0.0, False, 0)
    low, high, tries = _bracket(cost, budget, Tried(0.0, rest), first)
    while high is not None and low.strength > 0 and budget - low.cost > tolerance and tries < MOST_PASSES:
        strength = _middle(low, high) if tries % 3 == 0 else _on_line(low, high, budget - tolerance / 2)
        tried = Tried(strength, cost(strength))
        low, high = (tried, high) if tried.cost <= budget else (low, tried)
        tries += 1
    return Search(low.strength, budget - low.cost <= tolerance, tries)


def _bracket(
    cost: Callable[[float], float], budget: float, nothing: Tried, first: float
) -> tuple[Tried, Tried | None, int]:
    """The highest strength tried within the budget, the lowest beyond it (None: there is none), and tries."""
    tried = Tried(first, cost(first))
    low, high, tries = (tried, None, 1) if tried.cost <= budget else (nothing, tried, 1)
    while high is None and tries <= DOUBLINGS:
        tried = Tried(2 * low.strength, cost(2 * low.strength))
        low, high = (tried, None) if tried.cost <= budget else (low, tried)
        tries += 1
    while high is not None and low.strength == 0 and tries <= HALVINGS:
        tried = Tried(high.strength / 2, cost(high.strength / 2))
        low, high = (tried, high) if tried.cost <= budget else (low, tried)
        tries += 1
    return low, high, tries


def _middle(low: Tried, high: Tried) -> float:
    return math.sqrt(low.strength * high.strength)


def _on_line(low: Tried, high: Tried, target: float) -> float:
    """Where cost is `target` if it is a power of the strength, kept off the ends of the bracket."""
    if low.cost <= 0 or not math.isfinite(high.cost):
        return _middle(low, high)
    share = math.log(target / low.cost) / math.log(high.cost / low.cost)
    return low.strength * (high.strength / low.strength) ** min(max(share, 0.05), 0.95)


def _interval(steered: DocumentCrossEntropy, plain: DocumentCrossEntropy, seed: int) -> Cost:
    """Percentiles of a bootstrap over documents; steered and plain stay together."""
    count = len(plain.tokens)
    weights = np.random.default_rng([seed, 0xC057]).multinomial(count, np.full(count, 1 / count), size=RESAMPLES)
    tokens = np.maximum(weights @ plain.tokens, 1)
    low, high = np.quantile(weights @ (steered.nats - plain.nats) / tokens, [0.025, 0.975])
    return Cost(steered.per_token - plain.per_token, float(low), float(high))
