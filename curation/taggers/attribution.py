"""The tagger `attribution`: the words to which a transformer scorer owes its score.

A word's score is the score of its window times the word's contribution over the highest contribution in that window:
the most telling word has the text's own score, words that speak against it have none. So spans of harmless texts are
low, and a threshold means the same as for the scorer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from curation.corpus.records import Span
from curation.scorers import card_of, loaded_scorer, weights_of
from curation.scorers.base_transformer import TransformerScorer
from curation.scorers.options import ScorerSpec
from curation.taggers.base import Tagger
from curation.taggers.base_attribution import METHODS, probabilities
from curation.taggers.options import AttributionSpec
from curation.token_models.windows import Window, per_word, windows_of
from infra.config.faults import nearest
from infra.errors import InputError, ScoringError

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Attribution(Tagger):
    """One span per word that contributes."""

    options = AttributionSpec

    def __init__(self, spec: AttributionSpec) -> None:
        scorer = loaded_scorer(_exact(spec.scorer))
        assert isinstance(scorer, TransformerScorer)
        attribute = spec.attribute or scorer.attributes[0]
        if attribute not in scorer.attributes:
            known = ", ".join(scorer.attributes)
            raise InputError(f'{scorer.identity} has no attribute "{attribute}"; it has {known}'
                             f"{nearest(attribute, scorer.attributes)}")  # fmt: skip
        self._spec, self._scorer, self._column = spec, scorer, scorer.attributes.index(attribute)
        self.scorer, self.languages = scorer, card_of(spec.scorer).languages
        self.attributes = (attribute,)

    @staticmethod
    def inputs(spec: AttributionSpec) -> dict[str, str]:
        """The scorer's weights."""
        return {"scorer": weights_of(_exact(spec.scorer))}

    def tag(self, texts: list[str]) -> list[list[Span]]:
        """Words whose score is at or above the floor. Raises ScoringError where the scorer gives no number."""

        spans_by_text, windows = windows_of(self._scorer.tokenizer, texts, self._scorer.window)
        scores = per_word(spans_by_text, zip(windows, *self._scores(windows), strict=True), 0.0)
        if any(not np.isfinite(values).all() for values in scores):
            raise ScoringError(f"scorer {self._scorer.identity} gave no number for a word")
        return [
            [Span(*span, self.attributes[0], score)
             for span, score in zip(words, values.tolist(), strict=True) if score >= self._spec.keep_at_or_above]
            for words, values in zip(spans_by_text, scores, strict=True)
        ]  # fmt: skip

    def _scores(self, windows: list[Window]) -> tuple[list[NDArray[np.int64]], list[NDArray[np.float64]]]:
        """Words of each window, and their scores."""
        spec = self._spec
        contributions = METHODS[spec.method](self._scorer, windows, self._column, spec.batch_tokens, spec.steps)
        window_probabilities = probabilities(self._scorer, windows, self._column, spec.batch_tokens)
        scores = []
        for (_, values), probability in zip(contributions, window_probabilities, strict=True):
            highest = values.max(initial=0.0)
            share = np.maximum(values, 0.0) / highest if highest > 0 else np.zeros_like(values)
            scores.append((probability * share).astype(np.float32).astype(np.float64))
        return [words for words, _ in contributions], scores


def _exact(scorer: ScorerSpec) -> ScorerSpec:
    """The scorer in float32: gradients are taken there, whatever is fastest for scoring."""
    return scorer.model_copy(update={"precision": "float32"})
