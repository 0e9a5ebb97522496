"""Which response model for which target: the one with the smallest cross-validated squared error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from mixtures.swarm.responses import RESPONSES
from mixtures.swarm.solving.capped import Array


@dataclass(frozen=True)
class CrossValidation:
    """Cross-validated predictions of one response model for all targets, [n, t], and its root mean squared errors."""

    response: str
    predicted: Array
    errors: Array


def cross_validate(
    mixtures: Array, results: Array, response: str, folds: int, seed: int, workers: int
) -> CrossValidation:
    """Every run is predicted by a model that has not seen it; the folds are the same for every response model."""
    runs = len(mixtures)
    fold = np.random.default_rng([seed, 0xF0]).permutation(np.arange(runs) % folds)
    counts = (fold[None, :] != np.arange(folds)[:, None]).astype(np.float64)
    fitted = RESPONSES.get(response).fit(mixtures, results, counts, seed, workers)
    predicted = fitted.predict(mixtures)  # [folds, t, n]
    unseen = predicted[fold, :, np.arange(runs)]  # [n, t]: each run by the model of its own fold
    return CrossValidation(response, unseen, np.sqrt(((unseen - results) ** 2).mean(0)))


def choose(validations: Sequence[CrossValidation]) -> list[str]:
    """The best response model of every target; ties go to the one named first."""
    errors = np.stack([validation.errors for validation in validations])
    return [validations[index].response for index in errors.argmin(0)]


def spearman(predicted: Array, measured: Array) -> Array:
    """Rank correlation of every column [t]; 0 where a column is constant, as it then ranks nothing."""
    ranks = [rankdata(values, axis=0) for values in (predicted, measured)]
    first, second = (rank - rank.mean(0) for rank in ranks)
    product = np.sqrt((first**2).sum(0) * (second**2).sum(0))
    return np.where(product > 0, (first * second).sum(0) / np.where(product > 0, product, 1.0), 0.0)
