"""Fitting of the model of `kind: linear`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from curation.models.linear import Features, LinearModel, counted, known_table
from curation.text.disguises import plain_spelling
from curation.training.linear.spec import LinearSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray


_MAX_ROUNDS = 150


def fit(
    texts: list[str], targets: NDArray[np.bool_], sources: NDArray[np.int64], calibration: list[str],
    truth: NDArray[np.bool_], attributes: tuple[str, ...], spec: LinearSpec,
) -> LinearModel:  # fmt: skip
    """Learn from `texts`, `targets` [texts, attributes] and the number of each text's source; calibrate on other texts
    and their `truth`.
    """
    spelt = list(map(plain_spelling, texts))
    rarity = rarity_of(spelt, 1 << spec.hash_bits)
    features = Features(1 << spec.hash_bits, rarity)
    rows, held = features.of(spelt), features.of(list(map(plain_spelling, calibration)))
    fitted = [_fit_one(rows, target, source_weights(target, sources), held, true, spec)
              for target, true in zip(targets.T, truth.T, strict=True)]  # fmt: skip
    weights = np.stack([line for line, _ in fitted]).astype(np.float32)
    bias = tuple(offset for _, offset in fitted)
    return LinearModel(attributes, spec.languages, bias, rarity, weights, known_table(spelt))


def rarity_of(texts: list[str], size: int) -> NDArray[np.float32]:
    """Smoothed inverse document frequency; 0 for what no text has: an unseen feature is none."""
    seen = np.concatenate([hashed.getnnz(axis=0) for hashed in counted(texts, size)])
    return np.where(seen > 0, np.log((1 + len(texts)) / (1 + seen)) + 1, 0).astype(np.float32)


def source_weights(target: NDArray[np.bool_], sources: NDArray[np.int64]) -> NDArray[np.float64]:
    """A weight for each text, 1 on average: in every source, texts with the label and texts without it weigh the same,
    and so do all sources. Else the model learns that a source's way of writing is the label.
    """
    _, cells, counts = np.unique(2 * sources + target, return_inverse=True, return_counts=True)
    return np.asarray(len(target) / (len(counts) * counts[cells]))


def _fit_one(
    rows: Any, target: NDArray[np.bool_], weights: NDArray[np.float64], held: Any, truth: NDArray[np.bool_],
    spec: LinearSpec,
) -> tuple[NDArray[np.float64], float]:  # fmt: skip
    """Weights and bias of an attribute, calibrated by Platt's line."""
    from sklearn.linear_model import LogisticRegression

    first = LogisticRegression(C=spec.strength, solver="lbfgs", max_iter=_MAX_ROUNDS, tol=1e-4)
    first.fit(rows, target, sample_weight=weights)
    logits = held @ first.coef_[0] + first.intercept_[0]
    line = LogisticRegression(C=1e6).fit(logits[:, None], truth)
    slope, offset = float(line.coef_[0, 0]), float(line.intercept_[0])
    return first.coef_[0] * slope, float(first.intercept_[0]) * slope + offset
