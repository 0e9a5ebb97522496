"""Fitting a calibration, and the error that it leaves on texts that it was not fitted to.

Isotonic regression (Barlow et al. 1972; Zadrozny and Elkan 2002): the rising step function nearest to the reference
scores in squares. It changes the scale of a scorer, never the order of two texts, so it cannot make a scorer see more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from curation.models.calibration import Curve

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_BINS = 10
_RESAMPLES = 1000
_REFITS = 200  # of the curve: each sorts all texts


@dataclass(frozen=True)
class Errors:
    """Distance of scores from their references: mean absolute, root mean square, and expected calibration error (the
    mean gap between score and reference within tenths of the score's range).
    """

    mae: float
    rmse: float
    ece: float


@dataclass(frozen=True)
class Gain:
    """How far the mean absolute error has fallen, with the 95 % bootstrap interval over texts."""

    mae: float
    low: float
    high: float


@dataclass(frozen=True)
class Correspondence:
    """What a score of 0.5 is on the scale of the references, with the 95 % bootstrap interval over the texts that the
    curve was fitted to.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class FittedCurve:
    """One attribute of calibration.json: the curve's points, texts, and the errors on those held out. `spearman` and
    `auc` (of telling references of 0.5 or more) are on these too, and are of the order, which no curve changes; absent
    where all are alike.
    """

    x: tuple[float, ...]
    y: tuple[float, ...]
    fitted_on: int
    held_out: int
    unscored: int
    before: Errors
    after: Errors
    gain: Gain
    at_half: Correspondence
    spearman: float | None = None
    auc: float | None = None


@dataclass(frozen=True, kw_only=True)
class CalibrationRecord:
    """calibration.json: the scorer by name and by the checksum of its weights, and the curves by attribute."""

    scorer: str
    weights: str
    attributes: dict[str, FittedCurve]


def fit_curve(scores: Floats, references: Floats) -> Curve:
    """The isotonic curve."""
    from sklearn.isotonic import IsotonicRegression

    fitted = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(scores, references)
    return Curve(tuple(fitted.X_thresholds_.tolist()), tuple(fitted.y_thresholds_.tolist()))


def errors(scores: Floats, references: Floats) -> Errors:
    """How far `scores` are from `references`."""
    away = scores - references
    bins = np.minimum((scores * _BINS).astype(int), _BINS - 1)
    gaps = np.abs(np.bincount(bins, weights=away, minlength=_BINS)).sum() / len(scores)
    return Errors(float(np.abs(away).mean()), float(np.sqrt((away**2).mean())), float(gaps))


def gain_of(before: Floats, after: Floats, references: Floats, seed: int) -> Gain:
    """The fall of the mean absolute error from the scores before to those after."""
    gain = np.abs(before - references) - np.abs(after - references)
    draws = np.random.default_rng(seed).integers(0, len(gain), (_RESAMPLES, len(gain)))
    low, high = np.quantile(gain[draws].mean(axis=1), [0.025, 0.975])
    return Gain(float(gain.mean()), float(low), float(high))


def at_half(curve: Curve, scores: Floats, references: Floats, seed: int) -> Correspondence:
    """What `curve` makes of 0.5; the interval fits it anew to resampled texts."""
    rng, half = np.random.default_rng([seed, 0xCA1]), np.array([0.5])
    draws = rng.integers(0, len(scores), (_REFITS, len(scores)))
    low, high = np.quantile([fit_curve(scores[its], references[its]).apply(half)[0] for its in draws], [0.025, 0.975])
    return Correspondence(float(curve.apply(half)[0]), float(low), float(high))


def order_of(scores: Floats, references: Floats) -> tuple[float | None, float | None]:
    """Spearman's correlation, and the AUC of telling references of 0.5 or more; None where all are alike."""
    from scipy.stats import spearmanr
    from sklearn.metrics import roc_auc_score

    toxic = references >= 0.5
    varied = np.ptp(scores) > 0 and np.ptp(references) > 0
    spearman = float(spearmanr(scores, references).statistic) if varied else None
    return spearman, float(roc_auc_score(toxic, scores)) if 0 < toxic.sum() < len(toxic) else None
