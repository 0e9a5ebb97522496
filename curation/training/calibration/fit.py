"""Fitting a calibration, and the error that it leaves on texts that it was not fitted to.

Isotonic regression (Barlow et al. 1972; Zadrozny and Elkan 2002): the rising step function nearest to the reference
scores in squares. It changes the scale of a scorer, never the order of two texts, so it cannot make a scorer see more.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_BINS = 10
_RESAMPLES = 1000


@dataclass(frozen=True)
class Errors:
    """Distance of scores from their references: mean absolute, root mean square, and expected calibration error (the
    mean gap between score and reference within tenths of the score's range).
    """

    mae: float
    rmse: float
    ece: float


def fit_curve(scores: Floats, references: Floats) -> dict[str, list[float]]:
    """The isotonic curve, as its points."""
    from sklearn.isotonic import IsotonicRegression

    fitted = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(scores, references)
    return {"x": fitted.X_thresholds_.tolist(), "y": fitted.y_thresholds_.tolist()}


def errors(scores: Floats, references: Floats) -> Errors:
    """How far `scores` are from `references`."""
    away = scores - references
    bins = np.minimum((scores * _BINS).astype(int), _BINS - 1)
    gaps = np.abs(np.bincount(bins, weights=away, minlength=_BINS)).sum() / len(scores)
    return Errors(float(np.abs(away).mean()), float(np.sqrt((away**2).mean())), float(gaps))


def judge(before: Floats, after: Floats, references: Floats, seed: int) -> dict[str, Any]:
    """Errors before and after, and the fall of the mean absolute error with its 95 % bootstrap interval over texts."""
    gain = np.abs(before - references) - np.abs(after - references)
    draws = np.random.default_rng(seed).integers(0, len(gain), (_RESAMPLES, len(gain)))
    low, high = np.quantile(gain[draws].mean(axis=1), [0.025, 0.975])
    return {
        "before": asdict(errors(before, references)),
        "after": asdict(errors(after, references)),
        "gain": {"mae": float(gain.mean()), "low": float(low), "high": float(high)},
    }
