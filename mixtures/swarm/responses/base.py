"""What a response model is: fitted to many weightings of the same runs at once, it predicts targets of mixtures.

A cross-validation fold and a bootstrap replicate are both a weighting of the runs (`counts`), so that one call fits
all of them, and a model that can work on all at once (the log-linear law) does.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]


class Response(ABC):
    """Fitted models of R weightings × T targets. Values are such that less is better or more, as the caller likes."""

    convex: bool = False
    """Whether every prediction is a convex function of the mixture, with the gradients that an exact solver needs."""

    @classmethod
    @abstractmethod
    def fit(cls, weights: Array, values: Array, counts: Array, seed: int, workers: int = 1) -> Self:
        """Fit to runs: `weights` [n, m] on the simplex, `values` [n, t], `counts` [r, n] ≥ 0 (0 leaves a run out)."""

    @abstractmethod
    def predict(self, weights: Array) -> Array:
        """Predictions [r, t, n] for mixtures [n, m]."""

    @abstractmethod
    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Everything that it consists of, as plain arrays: what the artifact keeps (never a pickle)."""

    @classmethod
    @abstractmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> Self:
        """The model that `arrays()` gave."""
