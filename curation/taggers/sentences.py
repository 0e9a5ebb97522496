"""The tagger `sentences`: every sentence is scored on its own by a scorer, as in SLUNG's data recipe (Wang et al.
2025, arXiv 2505.03052).

The whole sentence gets the score, harmless words included: a coarse label, which any scorer can give. Equal sentences
of a batch are scored once.
"""

from __future__ import annotations

from curation.corpus.records import Span
from curation.scorers import card_of, loaded_scorer, weights_of
from curation.taggers.base import Tagger
from curation.taggers.options import SentencesSpec
from curation.text.sentences import sentence_spans


class Sentences(Tagger):
    """One span per sentence and attribute."""

    options = SentencesSpec

    def __init__(self, spec: SentencesSpec) -> None:
        self._floor, self._scorer = spec.keep_at_or_above, loaded_scorer(spec.scorer)
        self.scorer, self.languages = self._scorer, card_of(spec.scorer).languages
        self.attributes = self._scorer.attributes

    @staticmethod
    def inputs(spec: SentencesSpec) -> dict[str, str]:
        """The scorer's weights."""
        return {"scorer": weights_of(spec.scorer)}

    def tag(self, texts: list[str]) -> list[list[Span]]:
        """Sentences whose score is at or above the floor."""
        spans_by_text = [sentence_spans(text) for text in texts]
        pairs = zip(texts, spans_by_text, strict=True)
        distinct = list(dict.fromkeys(text[start:end] for text, spans in pairs for start, end in spans))
        scores = dict(zip(distinct, self._scorer.score(distinct).tolist(), strict=True))
        return [
            [Span(start, end, attribute, score)
             for start, end in spans
             for attribute, score in zip(self.attributes, scores[text[start:end]], strict=True) if score >= self._floor]
            for text, spans in zip(texts, spans_by_text, strict=True)
        ]  # fmt: skip
