"""The tagger `words`: every word is scored on its own by the scorer, whatever that is.

It sees no context ("kill" in "kill time" is tagged), and it tags the telling words of a risky clause rather than the
whole clause. Each distinct word is scored once, so its cost is that of the vocabulary, not of the corpus.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from curation.corpus.records import Span
from curation.scorers import card_of, loaded_scorer, weights_of
from curation.taggers.base import Tagger
from curation.taggers.options import WordsSpec
from curation.text.words import word_spans

if TYPE_CHECKING:
    pass

_MAX_WORDS = 2_000_000  # of the cache; about 400 MB


class Words(Tagger):
    """Scores each distinct word once; a word's score does not depend on where it stands."""

    options = WordsSpec

    def __init__(self, spec: WordsSpec) -> None:
        self._floor, self._scorer = spec.keep_at_or_above, loaded_scorer(spec.scorer)
        self.scorer, self.languages = self._scorer, card_of(spec.scorer).languages
        self.attributes = self._scorer.attributes
        self._scores: dict[str, tuple[tuple[str, float], ...]] = {}

    @staticmethod
    def inputs(spec: WordsSpec) -> dict[str, str]:
        """The scorer's weights."""
        return {"scorer": weights_of(spec.scorer)}

    def tag(self, texts: list[str]) -> list[list[Span]]:
        """One span per word and attribute whose score is at or above the floor."""
        if len(self._scores) > _MAX_WORDS:
            self._scores.clear()
        spans_by_text = [word_spans(text) for text in texts]
        words = {text[start:end] for text, spans in zip(texts, spans_by_text, strict=True) for start, end in spans}
        self._learn(sorted(words - self._scores.keys()))
        return [self._spans(text, spans) for text, spans in zip(texts, spans_by_text, strict=True)]

    def _learn(self, words: list[str]) -> None:
        """Score words, and remember what is at or above the floor."""
        for word, scores in zip(words, self._scorer.score(words).tolist(), strict=True):
            pairs = zip(self._scorer.attributes, scores, strict=True)
            self._scores[word] = tuple((attribute, score) for attribute, score in pairs if score >= self._floor)

    def _spans(self, text: str, bounds: list[tuple[int, int]]) -> list[Span]:
        scores_by_word = self._scores
        return [
            Span(start, end, attribute, score)
            for start, end in bounds
            for attribute, score in scores_by_word[text[start:end]]
        ]  # fmt: skip
