"""From logits to probabilities: Platt's line and the sigmoid, whose two numbers are fitted on held-out texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Platt:
    """score = sigmoid(slope * logit + offset)."""

    slope: float
    offset: float

    @classmethod
    def identity(cls) -> Platt:
        """The plain sigmoid."""
        return cls(1.0, 0.0)

    @classmethod
    def fit(cls, logits: NDArray[np.float64], targets: NDArray[np.float32]) -> Platt:
        """Maximum likelihood (Platt 1999); soft targets count with their share. One class only: the plain sigmoid."""
        from sklearn.linear_model import LogisticRegression

        positive = float(targets.sum())
        if not 0 < positive < len(targets):
            return cls.identity()
        rows = np.concatenate([logits, logits])[:, None]
        labels = np.repeat([1, 0], len(logits))
        weights = np.concatenate([targets, 1 - targets])
        fitted = LogisticRegression(C=1e6).fit(rows, labels, sample_weight=weights)
        return cls(float(fitted.coef_[0, 0]), float(fitted.intercept_[0]))

    def apply(self, logits: NDArray[np.float64]) -> NDArray[np.float32]:
        """Scores float32 in [0, 1]."""
        from scipy.special import expit

        return expit(self.slope * logits + self.offset).astype(np.float32)
