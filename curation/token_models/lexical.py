"""The token model `lexical`: linear over hashed features of a word and its neighbours, then over its context.

Made for throughput: what a word contributes, by itself and as a neighbour, is worked out once per distinct word and
process; the rest is a few array operations over all words of a batch.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from curation.text.words import WORD, word_spans
from curation.token_models.base import TokenModel, WordScores
from curation.token_models.context import InContext
from curation.token_models.features import EDGE, NEIGHBOUR, Hashing, neighbours_of
from infra.errors import ArtifactError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MAX_WORDS = 1_000_000  # of the cache; about 200 MB
_FILE = "lexical.safetensors"


class LexicalModel(TokenModel):
    """`table` float32 [2**bits] and `bias` of the first step, and the second."""

    name: ClassVar[str] = "lexical"

    def __init__(self, hashing: Hashing, table: NDArray[np.float32], bias: float, in_context: InContext) -> None:
        self.hashing, self.table, self.bias, self.in_context = hashing, table, bias, in_context
        self._forget()

    @classmethod
    def load(cls, folder: Path, settings: dict[str, Any]) -> LexicalModel:
        """Load what `save` wrote; `settings` is what `settings` returned then."""
        try:
            table = load_file(folder / _FILE)["table"]
        except (OSError, SafetensorError, KeyError) as error:
            raise ArtifactError(f"{folder / _FILE}: cannot be loaded: {error}; train the tagger again") from None
        in_context = InContext.from_json(settings["in_context"])
        return cls(Hashing(**settings["hashing"]), table, settings["bias"], in_context)

    def save(self, folder: Path) -> None:
        """One safetensors file."""
        save_file({"table": self.table}, folder / _FILE)

    def settings(self) -> dict[str, Any]:
        """How features become columns, and what is no table."""
        return {"hashing": vars(self.hashing), "bias": self.bias, "in_context": self.in_context.to_json()}

    def score(self, texts: list[str], floor: float = 0.0) -> list[WordScores]:
        """Words at or above `floor`. WordSpans are worked out only in texts that have such words."""
        logits, lengths = self.logits(texts)
        scores = _by_text(self.in_context.apply(logits, lengths), lengths)
        if self.gate is not None:
            scores = self.gate.applied(texts, _by_text(logits, lengths), scores, floor)
        return [_above_floor(text, words, floor) for text, words in zip(texts, scores, strict=True)]

    def word_logits(self, texts: list[str]) -> list[NDArray[np.float64]]:
        """Those of the first step."""
        return _by_text(*self.logits(texts))

    def logits(self, texts: list[str]) -> tuple[NDArray[np.float64], list[int]]:
        """Logits of the first step for all words of all texts in a row, and how many words each text has."""
        words = [WORD.findall(text) for text in texts]
        lengths = list(map(len, words))
        ids = self._ids(words, sum(lengths))
        before, after = neighbours_of(ids, lengths, 0)
        pairs = self.hashing.pairs(self._keys[before], self._keys[ids], self._keys[after])
        near = self._as_before[before] + self._as_after[after] + self.table[pairs[0]] + self.table[pairs[1]]
        return self.bias + self._by_itself[ids] + NEIGHBOUR * near, lengths

    def _ids(self, words: list[list[str]], total: int) -> NDArray[np.int64]:
        if len(self._known) > _MAX_WORDS:
            self._forget()
        new: set[str] = set().union(*words) - self._known.keys()
        self._learn(sorted(new))
        known = self._known
        return np.fromiter((known[word] for text_words in words for word in text_words), dtype=np.int64, count=total)

    def _forget(self) -> None:
        self._known: dict[str, int] = {}
        self._by_itself = self._as_before = self._as_after = np.zeros(0)
        self._keys = np.zeros(0, dtype=np.uint64)
        self._learn([EDGE])

    def _learn(self, words: list[str]) -> None:
        """Work out what each word contributes: by itself, before another word, and after one."""
        if not words:
            return
        start = len(self._known)
        self._known.update((word, number) for number, word in enumerate(words, start))
        self._make_room(len(self._known))
        added = slice(start, len(self._known))
        before, after, keys = np.array([self.hashing.as_neighbour(word) for word in words]).T
        self._by_itself[added] = [self._sum(word) for word in words]
        self._as_before[added], self._as_after[added] = self.table[before], self.table[after]
        self._keys[added] = keys

    def _make_room(self, needed: int) -> None:
        """Double the arrays, so that a growing vocabulary is not copied with every batch."""
        if needed <= len(self._by_itself):
            return
        size = max(2 * len(self._by_itself), needed, 4096)
        self._by_itself, self._as_before = _grown(self._by_itself, size), _grown(self._as_before, size)
        self._as_after, self._keys = _grown(self._as_after, size), _grown(self._keys, size)

    def _sum(self, word: str) -> float:
        columns, values = self.hashing.of_word(word)
        return float(sum(map(float.__mul__, self.table[columns].tolist(), values)))


def _grown(array: NDArray[Any], size: int) -> NDArray[Any]:
    """`array` with room for `size` elements; what is in the room does not matter."""
    return np.resize(array, size) if len(array) else np.zeros(size, dtype=array.dtype)


def _by_text(values: NDArray[Any], lengths: list[int]) -> list[NDArray[Any]]:
    """`values` [words] of all texts, cut into texts."""
    return np.split(values, np.cumsum(lengths))[: len(lengths)]


def _above_floor(text: str, scores: NDArray[np.float32], floor: float) -> WordScores:
    indices = np.flatnonzero(scores >= floor)
    if not len(indices):
        return WordScores([], scores[:0])
    spans = word_spans(text)
    return WordScores([spans[index] for index in indices], scores[indices])
