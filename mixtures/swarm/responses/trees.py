"""Gradient-boosted regression trees (scikit-learn's), kept as plain arrays: what RegMix (arXiv 2407.01492) fits to its
proxies.

Each target has its own trees. Predictions walk all trees of all mixtures together in numpy, so an artifact holds no
pickle and needs no scikit-learn to be read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from infra.jobs.processes import worker_pool
from mixtures.swarm.responses.base import Array, Response

TREES = 200
RATE = 0.08
DEPTH = 4
SUBSAMPLE = 0.5
"""Share of the runs that each tree sees."""
FEATURES = 0.5
"""Share of the components that each split may look at."""
_ROWS = 4096  # mixtures that walk through the trees together
_POOL_FROM = 60  # fits from which worker processes are worth their start


@dataclass(frozen=True)
class Forest:
    """Trees of one target: arrays [trees, nodes], a leaf leads to itself; `base` is what they add to."""

    base: float
    feature: NDArray[np.int16]
    threshold: Array
    left: NDArray[np.int16]
    right: NDArray[np.int16]
    value: Array

    def predict(self, weights: Array) -> Array:
        """Predictions [n]."""
        chunks = [self._walk(weights[first : first + _ROWS]) for first in range(0, len(weights), _ROWS)]
        return np.concatenate(chunks) if chunks else np.zeros(0)

    def _walk(self, weights: Array) -> Array:
        shares = weights.astype(np.float32)  # as scikit-learn compares them
        trees = np.arange(len(self.feature))[None, :]
        rows = np.arange(len(shares))[:, None]
        node = np.zeros((len(shares), len(self.feature)), np.int16)
        for _ in range(DEPTH):
            below = shares[rows, self.feature[trees, node]] <= self.threshold[trees, node]
            node = np.where(below, self.left[trees, node], self.right[trees, node])
        return self.base + self.value[trees, node].sum(1)


@dataclass(frozen=True)
class Trees(Response):
    """Forests by weighting and target."""

    forests: tuple[tuple[Forest, ...], ...]

    @classmethod
    def fit(cls, weights: Array, values: Array, counts: Array, seed: int, workers: int = 1) -> Self:
        """One boosting per weighting and target; one seed for all, so that replicates differ by their runs."""
        jobs = [(weights, values[:, column], row, seed) for row in counts for column in range(values.shape[1])]
        if workers > 1 and len(jobs) >= _POOL_FROM:
            with worker_pool(workers) as pool:
                forests = list(pool.map(_boost, jobs, chunksize=8))
        else:
            forests = [_boost(job) for job in jobs]
        width = values.shape[1]
        return cls(tuple(tuple(forests[row * width : (row + 1) * width]) for row in range(len(counts))))

    def predict(self, weights: Array) -> Array:
        """Predictions [r, t, n]."""
        predicted = [forest.predict(weights) for forest in chain.from_iterable(self.forests)]
        return np.stack(predicted).reshape(len(self.forests), -1, len(weights))

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Arrays of all forests under `ROW.TARGET.NAME`."""
        return {
            f"{row}.{column}.{name}": np.asarray(value)
            for row, forests in enumerate(self.forests)
            for column, forest in enumerate(forests)
            for name, value in vars(forest).items()
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> Self:
        """The model that `arrays()` gave."""
        fields: dict[tuple[int, int], dict[str, Any]] = {}
        for key, value in arrays.items():
            numbers, name = key.rsplit(".", 1)
            row, column = map(int, numbers.split("."))
            fields.setdefault((row, column), {})[name] = value if value.ndim else float(value)
        rows: dict[int, dict[int, Forest]] = {}
        for row, column in sorted(fields):
            rows.setdefault(row, {})[column] = Forest(**fields[row, column])
        return cls(tuple(tuple(forests.values()) for forests in rows.values()))


def _boost(job: tuple[Array, Array, Array, int]) -> Forest:
    """Fit one target to the runs that count."""
    from sklearn.ensemble import GradientBoostingRegressor

    weights, values, counts, seed = job
    used = counts > 0
    model = GradientBoostingRegressor(
        n_estimators=TREES,
        learning_rate=RATE,
        max_depth=DEPTH,
        subsample=SUBSAMPLE,
        max_features=FEATURES,
        random_state=seed,
    )
    model.fit(weights[used], values[used], sample_weight=counts[used] / counts[used].mean())
    trees = [stage.tree_ for stage in model.estimators_[:, 0]]
    return _forest(float(model.init_.constant_.ravel()[0]), trees)


def _forest(base: float, trees: list[Any]) -> Forest:
    nodes = max(tree.node_count for tree in trees)
    itself = np.tile(np.arange(nodes, dtype=np.int16), (len(trees), 1))
    shape = itself.shape
    feature, threshold, value = np.zeros(shape, np.int16), np.zeros(shape), np.zeros(shape)
    left, right = itself.copy(), itself.copy()
    for index, tree in enumerate(trees):
        inner = np.flatnonzero(tree.children_left >= 0)
        feature[index, inner], threshold[index, inner] = tree.feature[inner], tree.threshold[inner]
        left[index, inner], right[index, inner] = tree.children_left[inner], tree.children_right[inner]
        value[index, : tree.node_count] = RATE * tree.value[:, 0, 0]
    return Forest(base, feature, threshold, left, right, value)
