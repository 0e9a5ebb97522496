"""Fitting the lexical model: logistic regression on hashed features, then logistic regression on the context.

The second step must not see logits of words that the first was fitted on, which are too sure of themselves. So the
texts are split in folds, each fold's logits come from a first step fitted on the others, and the first step that is
kept is fitted on all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_matrix

from curation.token_models.context import InContext
from curation.token_models.features import EDGE, NEIGHBOUR, Hashing, neighbours_of
from curation.token_models.labels import LabelledText, word_targets
from curation.token_models.lexical import LexicalModel
from curation.token_models.logistic import fit_logistic

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curation.training.tagger.spec import LexicalSpec

FOLDS = 3


@dataclass(frozen=True)
class _Words:
    """All words in a row: `features` [words, columns], `targets` [words], and the number of words of each text."""

    features: csr_matrix
    targets: NDArray[np.float32]
    lengths: list[int]

    def of(self, texts: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which words belong to the chosen texts."""
        return np.repeat(texts, self.lengths)


def fit_lexical(
    labelled: list[LabelledText], clean: list[LabelledText], spec: LexicalSpec, seed: int,
    advance: Callable[[int], None],
) -> LexicalModel:  # fmt: skip
    """Fit on both; the second step on `labelled` alone: what is marked in a text like those. Whether a text is like
    those is the gate's. `advance` is called with a share of the texts for each of the fits.
    """
    texts = [*labelled, *clean]
    hashing = Hashing(spec.hash_bits, *spec.ngrams)
    words = _words(texts, hashing)
    fold = np.random.default_rng(seed).integers(0, FOLDS, len(texts))
    logits = np.zeros(len(words.targets))
    for number in range(FOLDS):
        inside, outside = words.of(fold == number), words.of(fold != number)
        coefficients, bias = _regress(words.features[outside], words.targets[outside], spec)
        logits[inside] = words.features[inside] @ coefficients + bias
        advance(len(texts) // (FOLDS + 1))
    coefficients, bias = _regress(words.features, words.targets, spec)
    lengths = words.lengths[: len(labelled)]
    in_context = InContext.fit(logits[: sum(lengths)], lengths, words.targets[: sum(lengths)])
    advance(len(texts) - FOLDS * (len(texts) // (FOLDS + 1)))
    return LexicalModel(hashing, coefficients.astype(np.float32), bias, in_context)


def _words(texts: list[LabelledText], hashing: Hashing) -> _Words:
    labelled = [word_targets(text) for text in texts]
    spelled = [[text.text[start:end] for start, end in spans]
               for text, (spans, _) in zip(texts, labelled, strict=True)]  # fmt: skip
    lengths = [len(words_of_text) for words_of_text in spelled]
    vocabulary = list(dict.fromkeys([EDGE, *(word for words_of_text in spelled for word in words_of_text)]))
    number = {word: index for index, word in enumerate(vocabulary)}
    ids = np.array([number[word] for words_of_text in spelled for word in words_of_text], dtype=np.int64)
    columns = _neighbour_columns(ids, lengths, vocabulary, hashing)
    shape = (len(ids), 1 << hashing.bits)
    values = np.full(columns.size, NEIGHBOUR, dtype=np.float32)
    near = csr_matrix((values, columns.ravel(), np.arange(0, columns.size + 1, 4)), shape=shape)
    features = (_word_features(vocabulary, hashing)[ids] + near).tocsr()
    targets = np.concatenate([target for _, target in labelled]) if labelled else np.zeros(0, dtype=np.float32)
    return _Words(features, targets, lengths)


def _word_features(vocabulary: list[str], hashing: Hashing) -> csr_matrix:
    """What each word of the vocabulary has by itself [vocabulary, columns]."""
    columns: list[int] = []
    values: list[float] = []
    ends = [0]
    for word in vocabulary:
        word_columns, word_values = hashing.of_word(word)
        columns += word_columns
        values += word_values
        ends.append(len(columns))
    return csr_matrix((np.array(values, dtype=np.float32), columns, ends), shape=(len(vocabulary), 1 << hashing.bits))


def _neighbour_columns(
    ids: NDArray[np.int64], lengths: list[int], vocabulary: list[str], hashing: Hashing
) -> NDArray[np.int64]:
    """The four neighbour features of each word [words, 4]."""
    before, after = neighbours_of(ids, lengths, 0)
    as_before, as_after, keys = np.array([hashing.as_neighbour(word) for word in vocabulary]).T
    keys = keys.astype(np.uint64)
    pairs = hashing.pairs(keys[before], keys[ids], keys[after])
    return np.column_stack([as_before[before], as_after[after], *pairs])


def _regress(
    features: csr_matrix, targets: NDArray[np.float32], spec: LexicalSpec
) -> tuple[NDArray[np.float64], float]:
    """Coefficients [columns] and bias. Only columns that occur are fitted; the others stay at zero."""
    used = np.unique(features.indices)
    fitted, bias = fit_logistic(features[:, used], targets, spec.strength, spec.iterations)
    coefficients = np.zeros(features.shape[1])
    coefficients[used] = fitted
    return coefficients, bias
