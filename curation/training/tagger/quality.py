"""How good spans are: character F1 as SemEval-2021 task 5 defines it, and the best threshold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from curation.corpus.records import Span
from curation.text.spans import joined
from curation.token_models.labels import LabelledText

if TYPE_CHECKING:
    from numpy.typing import NDArray

THRESHOLDS = tuple(round(0.02 * step, 2) for step in range(1, 50))


def character_f1(marked: set[int], gold: set[int]) -> float:
    """F1 over character offsets; 1 where nothing is marked and nothing should be.

    The measure of SemEval-2021 task 5 (Pavlopoulos et al. 2021).
    """
    return 2 * len(marked & gold) / (len(marked) + len(gold)) if marked or gold else 1.0


def text_f1(labelled: LabelledText, spans: list[Span], threshold: float) -> float:
    """F1 of one text's spans at a threshold, joined."""
    marked = {offset for span in joined(labelled.text, spans, threshold) for offset in range(span.start, span.end)}
    return character_f1(marked, labelled.gold())


def f1_of(texts: list[LabelledText], spans: list[list[Span]], threshold: float) -> NDArray[np.float64]:
    """F1 of each text [texts]."""
    return np.array([text_f1(text, text_spans, threshold) for text, text_spans in zip(texts, spans, strict=True)])


def best_threshold(texts: list[LabelledText], spans: list[list[Span]]) -> float:
    """The threshold of `THRESHOLDS` with the highest mean F1; of equals the one in their middle, the least touchy."""
    means = np.array([f1_of(texts, spans, threshold).mean() for threshold in THRESHOLDS])
    best = np.flatnonzero(means >= means.max() - 1e-12)
    return THRESHOLDS[int(best[len(best) // 2])]


def reliability(scores: NDArray[np.float32], targets: NDArray[np.float32], bins: int = 10) -> dict[str, object]:
    """Brier score, expected calibration error (bins of equal width, weighted by words) and the bins themselves."""
    brier = float(np.mean((scores - targets) ** 2))
    bin_of = np.minimum((scores * bins).astype(np.int64), bins - 1)
    counts = np.bincount(bin_of, minlength=bins)
    predicted, was = (np.bincount(bin_of, values, bins) for values in (scores, targets))
    table = [{"words": int(n), "score": float(s / n), "risky": float(r / n)}
             for n, s, r in zip(counts, predicted, was, strict=True) if n]  # fmt: skip
    return {"brier": brier, "ece": float(np.abs(predicted - was).sum() / max(counts.sum(), 1)), "bins": table}
