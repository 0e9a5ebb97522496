"""What a word's score owes to the words around it: the second of the lexical model's two linear steps.

People mark the worst words of a text: "stupid" alone is marked, and beside a slur it is passed over. So a word's logit
goes, together with the highest logit among the words around it and a few such numbers, through a second logistic
regression. "Around" means at most `SIDE` words to each side in the same text, so that long documents are treated as the
short ones on which the step was fitted.

All numbers are exact multiples of 2**-16 or computed word by word: a score does not depend on the batch, to the bit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE = 40
"""Words to each side that count as around a word."""
NAMES = (
    "logit", "logit above -1.5", "highest around", "highest around above -1", "lead", "positive lead", "is highest",
    "log expected risky around", "log words around", "logit before", "logit after", "higher of both",
)  # fmt: skip
"""Columns of `context`."""
_LOWEST, _HIGHEST = -8.0, 16.0  # logits are cut to this range; the lower end also stands for "there is no such word"
_STEP = 2.0**16
_APART = 64.0  # texts are lifted apart by more than logits can differ, so that a filter never sees across an edge


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
        logits, np.maximum(logits, -1.5), around, np.maximum(around, -1.0), lead, np.maximum(lead, 0.0), lead >= 0,
        np.log1p(expected), np.log(ends - starts), before, after, np.maximum(before, after),
    ])  # fmt: skip


def _window(lengths: list[int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and one past the last word around each word, itself included."""
    sizes = np.asarray(lengths, dtype=np.int64)
    last = np.cumsum(sizes)
    position = np.arange(last[-1] if len(last) else 0)
    starts = np.maximum(position - SIDE, np.repeat(last - sizes, sizes))
    return starts, np.minimum(position + SIDE + 1, np.repeat(last, sizes))


def _highest_before(logits: NDArray[np.float64], text: NDArray[np.int64]) -> NDArray[np.float64]:
    """Highest logit among the `SIDE` words before each, in its text."""
    from scipy.ndimage import maximum_filter1d

    if not len(logits):
        return logits
    lifted = logits + _APART * text
    trailing = maximum_filter1d(lifted, SIDE, mode="constant", cval=-_APART, origin=(SIDE - 1) // 2)
    found = np.concatenate([[-_APART], trailing[:-1]]) - _APART * text
    return np.where(found < -_APART / 2, _LOWEST, found)


def _expected(logits: NDArray[np.float64], starts: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.float64]:
    """Sum of the probabilities of the other words around, in whole millionths: sums of integers have no rounding."""
    from scipy.special import expit

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
