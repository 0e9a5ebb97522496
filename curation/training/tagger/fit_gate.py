"""Fitting a gate: words and letter runs on the texts that the model learnt from, the last step on validation texts.

The last step sees the model's logits, which are too sure of texts that it learnt from; validation texts are few, and
enough for its nine numbers.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from curation.models.linear import Features
from curation.text.disguises import plain_spelling
from curation.token_models.gate import Gate, Stretch, stretch_columns, stretches_of
from curation.token_models.labels import LabelledText, word_targets
from curation.token_models.logistic import fit_logistic
from curation.training.linear.fit import rarity_of
from curation.training.tagger.spec import GateSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray


FEWEST = 10
"""Stretches with a span, and without one, below which there is nothing to learn a gate from."""
_ROUNDS, _LAST_STRENGTH = 100, 1.0


def can_be_gated(*groups: list[LabelledText]) -> bool:
    """Whether each of the parts has enough texts of both kinds."""
    with_span = [sum(bool(labelled.gold()) for labelled in texts) for texts in groups]
    return all(FEWEST <= number <= len(texts) - FEWEST for number, texts in zip(with_span, groups, strict=True))


def fit_gate(
    training: list[LabelledText], validation: list[LabelledText], logits: list[NDArray[np.float64]], spec: GateSpec
) -> Gate:
    """A gate that is never shut (`cut` 0 is to be chosen); `logits` [words] of each validation text."""
    pieces = [list(stretches_of(labelled.text, spec.longest)) for labelled in training]
    spelt = [plain_spelling(piece.text) for row in pieces for piece in row]
    rarity = rarity_of(spelt, 1 << spec.hash_bits)
    rows = Features(1 << spec.hash_bits, rarity).of(spelt)
    table, _ = fit_logistic(rows, _with_span(training, pieces), spec.strength, _ROUNDS)
    return last_step(Gate(rarity, table.astype(np.float32), (), 0.0, 0.0, spec.longest), validation, logits)


def last_step(gate: Gate, texts: list[LabelledText], logits: list[NDArray[np.float64]]) -> Gate:
    """`gate` with its last step fitted to `texts`."""
    pieces = [list(stretches_of(labelled.text, gate.longest)) for labelled in texts]
    columns = stretch_columns(pieces, logits, gate.rarity, gate.table)
    spread = columns.std(axis=0)
    spread[spread < 1e-6] = 1.0  # a column that is constant but for rounding
    weights, offset = fit_logistic(columns / spread, _with_span(texts, pieces), _LAST_STRENGTH, 1000)
    return replace(gate, weights=tuple((weights / spread).tolist()), offset=offset)


def _with_span(texts: list[LabelledText], pieces: list[list[Stretch]]) -> NDArray[np.float32]:
    """Whether each stretch holds a word that is labelled at least 0.5 [stretches]."""
    targets = [word_targets(labelled)[1] for labelled in texts]
    pairs = ((words, piece) for words, row in zip(targets, pieces, strict=True) for piece in row)
    return np.array([words[piece.first : piece.end].max() >= 0.5 for words, piece in pairs], dtype=np.float32)
