"""What a word's score owes to the words around it: the last step of both token models, which also calibrates them.

People mark the worst words of a text: "stupid" alone is marked, and beside a slur it is passed over. So a word's logit
goes, together with the highest logit among the words around it and a few such numbers, through a logistic regression.
"Around" means at most `SIDE` words to each side in the same text, so that long documents are treated as the short ones
on which the step was fitted.

Logits are cut to multiples of 2**-16 and probabilities are summed in whole millionths: what comes out for a text does
not depend on the batch, to the bit. All columns are continuous in the logits, so a small error in them stays small.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.ndimage import maximum_filter1d
from scipy.special import expit

from curation.token_models.logistic import fit_logistic

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE = 40
"""Words to each side that count as around a word."""
NAMES = (
    "logit", "logit above -1.5", "highest around", "highest around above -1", "lead", "lead above -1", "lead above 0",
    "log expected risky around", "log words around", "logit before", "logit after", "higher of both",
)  # fmt: skip
"""Columns of `context`."""
_LOWEST, _HIGHEST = -8.0, 16.0  # logits are cut to this range; the lower end also stands for "there is no such word"
_STEP = 2.0**16
_APART = 64.0  # texts are lifted apart by more than logits can differ, so that a filter never sees across an edge


@dataclass(frozen=True)
class InContext:
    """A logistic regression on the columns of `context`."""

    weights: tuple[float, ...]
    offset: float

    @classmethod
    def fit(cls, logits: NDArray[np.float64], lengths: list[int], targets: NDArray[np.float32]) -> InContext:
        """Fit on logits of words [words] that were not learnt from. Raises InputError for targets of one kind only."""
        columns = context(logits, lengths)
        spread = columns.std(axis=0)
        spread[spread < 1e-6] = 1.0  # a column that is constant but for rounding
        coefficients, offset = fit_logistic(columns / spread, targets, strength=1.0, iterations=1000)
        return cls(tuple((coefficients / spread).tolist()), offset)

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> InContext:
        """The inverse of `to_json`."""
        return cls(tuple(record["weights"]), record["offset"])

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {"weights": list(self.weights), "offset": self.offset}

    def apply(self, logits: NDArray[np.float64], lengths: list[int]) -> NDArray[np.float32]:
        """Scores [words] in [0, 1] of texts of `lengths` words, one text after the other."""
        total = np.full(len(logits), self.offset)
        for column, weight in zip(context(logits, lengths).T, self.weights, strict=True):
            total += weight * column  # one after the other: a matrix product rounds differently for other shapes
        return expit(total).astype(np.float32)


def context(logits: NDArray[np.float64], lengths: list[int]) -> NDArray[np.float64]:
    """[words, len(NAMES)] for the logits [words] of texts of `lengths` words, one text after the other."""
    logits = np.round(np.clip(logits, _LOWEST, _HIGHEST) * _STEP) / _STEP
    text = np.repeat(np.arange(len(lengths)), lengths)
    starts, ends = _window(lengths)
    backwards = (len(lengths) - 1 - text)[::-1]
    around = np.maximum(_highest_before(logits, text), _highest_before(logits[::-1], backwards)[::-1])
    expected = _expected(logits, starts, ends)
    before, after = _shifted(logits, text), _shifted(logits[::-1], backwards)[::-1]
    lead = np.clip(logits - around, -4.0, 4.0)
    return np.column_stack([
        logits, np.maximum(logits, -1.5), around, np.maximum(around, -1.0), lead, np.maximum(lead, -1.0),
        np.maximum(lead, 0.0), np.log1p(expected), np.log(ends - starts), before, after, np.maximum(before, after),
    ])  # fmt: skip


def _window(lengths: list[int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and one past the last word around each word, itself included."""
    sizes = np.asarray(lengths, dtype=np.int64)
    last = np.cumsum(sizes)
    position = np.arange(last[-1] if len(last) else 0)
    starts = np.maximum(position - SIDE, np.repeat(last - sizes, sizes))
    return starts, np.minimum(position + SIDE + 1, np.repeat(last, sizes))


def _highest_before(logits: NDArray[np.float64], text: NDArray[np.int64]) -> NDArray[np.float64]:
    """Highest logit among the `SIDE` words before each, in its text; `text` rises from 0."""
    if not len(logits):
        return logits
    lifted = logits + _APART * text
    # `origin` moves scipy's window, which is centred, so that it ends with the word itself
    trailing = maximum_filter1d(lifted, SIDE, mode="constant", cval=-_APART, origin=(SIDE - 1) // 2)
    highest = np.concatenate([[-_APART], trailing[:-1]]) - _APART * text
    return np.where(highest < -_APART / 2, _LOWEST, highest)


def _expected(logits: NDArray[np.float64], starts: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.float64]:
    """Sum of the probabilities of the other words around; sums of whole numbers have no rounding."""
    millionths = np.round(expit(logits) * 1e6).astype(np.int64)
    sums = np.concatenate([[0], np.cumsum(millionths)])
    return (sums[ends] - sums[starts] - millionths) / 1e6


def _shifted(logits: NDArray[np.float64], text: NDArray[np.int64]) -> NDArray[np.float64]:
    """The logit of the word before, in the same text."""
    if not len(logits):
        return logits
    before = np.concatenate([[_LOWEST], logits[:-1]])
    before[np.concatenate([[True], text[1:] != text[:-1]])] = _LOWEST
    return before
