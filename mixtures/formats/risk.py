"""The risk byte: one uint8 per token, so that thresholds and loss policies are chosen at training time.

    0        unscored: nobody looked at this token
    1-254    logit(score), quantised linearly over -12 .. +12 (a step is 24/253 = 0.095 in logit)
    255      structural: a prefix or padding, never a target

The logit scale keeps both ends apart: 1e-4 and 1e-3 differ by 24 steps, 0.99 and 0.999 by 24 as well.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

UNSCORED = 0
LOWEST = 1  # scored, and at or below the tagger's floor; the EOS of a tagged document has it too
HIGHEST = 254
STRUCTURAL = 255

_RANGE = 12.0
_STEPS = HIGHEST - LOWEST

Bytes = NDArray[np.uint8]


def encode(scores: ArrayLike) -> Bytes:
    """Quantise scores in [0, 1] (any shape) to risk bytes 1-254; monotone. Raises ValueError on NaN or a score
    outside.
    """
    values = np.asarray(scores, dtype=np.float64)
    if not bool(np.all((values >= 0) & (values <= 1))):  # NaN fails both comparisons
        raise ValueError("risk scores lie between 0 and 1, and NaN is not one")
    with np.errstate(divide="ignore"):
        logit = np.log(values) - np.log1p(-values)
    position = (np.clip(logit, -_RANGE, _RANGE) + _RANGE) * (_STEPS / (2 * _RANGE))
    # Half rounds up, so that a score of exactly 0.5 opens a step: the usual threshold loses nothing to rounding.
    return (LOWEST + np.floor(position + 0.5)).astype(np.uint8)


def decode(risk: ArrayLike) -> NDArray[np.float32]:
    """Score at the middle of each byte's step; NaN for unscored and structural tokens."""
    levels = np.asarray(risk, dtype=np.float64)
    logit = (levels - LOWEST) * (2 * _RANGE / _STEPS) - _RANGE
    scores = 1 / (1 + np.exp(-logit))
    return np.where((levels == UNSCORED) | (levels == STRUCTURAL), np.nan, scores).astype(np.float32)


def threshold_byte(threshold: float) -> int:
    """Smallest byte that a score at or above `threshold` can have.

    `risk >= threshold_byte(t)` (and not STRUCTURAL) therefore finds every token scored t or more; tokens less than
    half a step (0.05 in logit) below are found too, because risk is rather seen than missed.
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"a risk threshold lies above 0 and at most at 1, not at {threshold}")
    return int(encode(threshold))


def at_or_above(risk: Bytes, threshold: float) -> NDArray[np.bool_]:
    """Mask of the tokens whose score is at or above `threshold`; unscored and structural tokens are not."""
    return (risk >= threshold_byte(threshold)) & (risk != STRUCTURAL)
