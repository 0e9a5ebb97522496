"""The statistics of a cascade: the gate's threshold from a survey, and the recall that it reached, with its interval.

A document is *risky* when the costly scorer says so; *recall* is the share of risky documents that the costly scorer
gets to see. The survey is a uniform sample of the corpus that both scorers have scored.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import beta, binom

from infra.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class CascadeThreshold:
    """Documents at or above `threshold` are seen; those below it get `estimates` for the costly scores, by attribute.
    `surveyed` documents, of which so many were `risky`, have set it.
    """

    threshold: float
    surveyed: int
    risky: int
    estimates: dict[str, float]


def tolerated(risky: int, recall: float, confidence: float) -> int:
    """Which of the risky documents of a sample, by rising gate score, may set the threshold; 0: there are too few.

    The distribution-free tolerance limit (Wilks 1941): the share of all risky documents that lies below the j-th of k
    sampled ones is Beta(j, k + 1 − j). The largest j for which it is at most 1 − recall with the confidence asked for.
    """
    return int(binom.ppf(1 - confidence, risky, 1 - recall))


def needed(recall: float, confidence: float) -> int:
    """Risky documents that a survey must hold at least."""
    return math.ceil(math.log(1 - confidence) / math.log(recall))


def threshold_of(gate: NDArray[np.float32], risky: NDArray[np.bool_], recall: float, confidence: float) -> float:
    """The highest threshold that promises the recall, from the survey's gate scores [n] and verdicts [n].

    Raises DataError where the survey holds too few risky documents to promise it.
    """
    rising = np.sort(gate[risky])
    rank = tolerated(len(rising), recall, confidence)
    if rank >= 1:
        return float(rising[rank - 1])
    least = needed(recall, confidence)
    factor = f"about {math.ceil(len(gate) * least / len(rising)):,}" if len(rising) else "many times that"
    raise DataError(
        f"cascade: {len(rising)} of the {len(gate):,} surveyed documents are risky, and a recall of {recall:g} can be "
        f"promised from {least} on; raise `survey` to {factor}, or lower `recall` or `at_or_above`"
    )


@dataclass
class Tally:
    """Counts of a cascade's main pass. Outside the survey, documents are `above` the gate, `risky` of them, or `below`
    it; of those, `audited` were drawn at random and seen as well, and `missed` of these were risky.
    """

    documents: int = 0
    surveyed: int = 0
    above: int = 0
    risky: int = 0
    below: int = 0
    audited: int = 0
    missed: int = 0

    def take(self, other: Tally) -> None:
        """Add the counts of another."""
        for name, count in asdict(other).items():
            setattr(self, name, getattr(self, name) + count)

    def recall(self, confidence: float) -> dict[str, float] | None:
        """Recall of the gate outside the survey, with the interval that the audit allows; None where the audit saw
        nothing of what lies below the gate, or nothing is risky.

        Risky documents above the gate are counted; those below it are estimated from the audit: a binomial share with
        its Clopper–Pearson interval. Documents that the audit itself found count as missed by the gate.
        """
        if not self.below:
            return {"reached": 1.0, "low": 1.0, "high": 1.0}
        if not self.audited or not (self.risky or self.missed):
            return None
        tail, missed, clear = (1 - confidence) / 2, self.missed, self.audited - self.missed
        low = float(beta.ppf(tail, missed, clear + 1)) if missed else 0.0
        high = float(beta.ppf(1 - tail, missed + 1, clear)) if clear else 1.0
        if self.audited == self.below:  # then nothing is estimated
            low = high = missed / self.below
        shares = {"reached": missed / self.audited, "low": high, "high": low}
        return {name: self.risky / (self.risky + self.below * share) for name, share in shares.items()}
