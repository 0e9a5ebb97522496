"""Where the gate shuts and from which score words are marked, chosen by cross-validation for a rate of empty texts.

Every validation text is judged by a last step and a gate fitted on the other folds. A text without spans counts by how
often such texts occur where the tagger is to work, however many of them there are here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from curation.text.words import word_spans
from curation.token_models.base import WordScores
from curation.token_models.context import InContext
from curation.token_models.gate import Gate
from curation.token_models.labels import LabelledText, word_targets
from curation.token_models.trained import spans_of
from curation.training.tagger.fit_gate import last_step
from curation.training.tagger.quality import THRESHOLDS, text_f1

if TYPE_CHECKING:
    from numpy.typing import NDArray

FOLDS = 5
CUTS = tuple(round(0.05 * step, 2) for step in range(20))
"""Probabilities of a span below which a gate may shut; at 0 it never does."""


@dataclass(frozen=True)
class Validation:
    """Texts held out of learning, which of them are labelled (the others are clean), and logits [words] of each."""

    texts: list[LabelledText]
    labelled: NDArray[np.bool_]
    logits: list[NDArray[np.float64]]

    def of(self, chosen: NDArray[np.bool_]) -> Validation:
        """Some of the texts."""
        rows = np.flatnonzero(chosen).tolist()
        texts, logits = [self.texts[row] for row in rows], [self.logits[row] for row in rows]
        return Validation(texts, self.labelled[chosen], logits)


@dataclass(frozen=True)
class Judged:
    """A text with the score of each word, and the probability that the word's stretch holds a span."""

    text: LabelledText
    scores: NDArray[np.float32]
    chances: NDArray[np.float64]


def fit_context(validation: Validation) -> InContext:
    """The last step of a model, on the labelled texts: what is marked in a text that holds a span."""
    marked = validation.of(validation.labelled)
    targets = np.concatenate([word_targets(labelled)[1] for labelled in marked.texts])
    return InContext.fit(np.concatenate(marked.logits), list(map(len, marked.logits)), targets)


def judged(validation: Validation, in_context: InContext | None, gate: Gate | None, seed: int) -> list[Judged]:
    """Each text judged by what was fitted on other folds. `in_context` is None where it is fitted on these texts."""
    fold = np.random.default_rng(seed).permutation(len(validation.texts)) % FOLDS
    answers: dict[int, Judged] = {}
    for number in range(FOLDS):
        others, inside = validation.of(fold != number), validation.of(fold == number)
        step = in_context or fit_context(others)
        shut = last_step(gate, others.texts, others.logits) if gate else None
        answers.update(zip(np.flatnonzero(fold == number).tolist(), _answers(inside, step, shut), strict=True))
    return [answers[row] for row in range(len(validation.texts))]


def _answers(validation: Validation, step: InContext, gate: Gate | None) -> Iterator[Judged]:
    texts = [labelled.text for labelled in validation.texts]
    chances = gate.chances(texts, validation.logits) if gate else [np.ones(len(words)) for words in validation.logits]
    for labelled, words, chance in zip(validation.texts, validation.logits, chances, strict=True):
        yield Judged(labelled, step.apply(words, [len(words)]), chance)


def text_weights(empty: NDArray[np.bool_], rate: float) -> NDArray[np.float64]:
    """A weight for each text, so that texts without spans have `rate` of the sum; equal ones where only one kind is."""
    if empty.all() or not empty.any():
        return np.full(len(empty), 1 / len(empty))
    return np.where(empty, rate / empty.sum(), (1 - rate) / (~empty).sum())


def choose(texts: list[Judged], weights: NDArray[np.float64], gated: bool) -> tuple[float, float]:
    """Cut and threshold with the highest weighted mean of character F1.

    Of equals the lowest cut, since nothing speaks for silencing more, and the threshold in their middle.
    """
    cuts = CUTS if gated else (0.0,)
    tables = np.array([_f1_table(judged, cuts) for judged in texts])
    means = np.tensordot(weights, tables, axes=1)
    best = means >= means.max() - 1e-12
    cut = int(np.argmax(best.any(axis=1)))
    rows = np.flatnonzero(best[cut])
    return cuts[cut], THRESHOLDS[int(rows[len(rows) // 2])]


def _f1_table(judged: Judged, cuts: tuple[float, ...]) -> NDArray[np.float64]:
    """Character F1 of a text for each cut and threshold; cuts that open the same stretches are worked out once."""
    rows: dict[bytes, list[float]] = {}
    table = []
    for cut in cuts:
        is_open = judged.chances >= cut
        if is_open.tobytes() not in rows:
            rows[is_open.tobytes()] = _f1_row(replace(judged, scores=np.where(is_open, judged.scores, np.float32(0))))
        table.append(rows[is_open.tobytes()])
    return np.array(table)


def _f1_row(judged: Judged) -> list[float]:
    spans = spans_of(WordScores(word_spans(judged.text.text), judged.scores), "")
    return [text_f1(judged.text, spans, threshold) for threshold in THRESHOLDS]
