"""The scorer `profanity`: alt-profanity-check, a linear model on TF-IDF word counts that comes inside its package.

It works offline and scores tens of thousands of short texts a second. Its two joblib files are pickles; they are
loaded because they are part of an installed, pinned dependency, like its code.
"""

from __future__ import annotations

import hashlib
import importlib.util
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from curation.scorers.base import Card, Scorer
from curation.scorers.options import ProfanitySpec
from infra.artifacts.fingerprint import digest_file
from infra.errors import UnavailableError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_FILES = ("model.joblib", "vectorizer.joblib")
_CARD = Card(
    ("en",),
    "profanity (alt-profanity-check) sees rude words, not meaning: AUC .961 on Jigsaw's test comments and .859 on "
    "RealToxicityPrompts, but near chance on implicit hate (ToxiGen human .63, HateCheck .47)",
)

_RAREST = 9.5
"""Inverse document frequency above which a word of the vocabulary is no evidence of English: Wikipedia's comments quote
other languages, and the rarest third of the words (df < 2e-4) holds most of theirs."""


class Profanity(Scorer):
    """Probability that a text is offensive, by its words alone."""

    options = ProfanitySpec
    library = "alt-profanity-check"
    documents_together = 1024  # a call costs as much as some hundred texts

    def __init__(self) -> None:
        from profanity_check import profanity_check as package

        self._vectorizer, self._model = package.vectorizer, package.model
        self._words = self._vectorizer.build_tokenizer()
        rarity = zip(self._vectorizer.get_feature_names_out(), self._vectorizer.idf_, strict=True)
        self._vocabulary = {word for word, idf in rarity if idf <= _RAREST}
        self._left_out = self._vectorizer.get_stop_words()
        self.attributes = ("toxicity",)
        self.identity = f"profanity@{self.weights(ProfanitySpec())[:12]}"

    @classmethod
    def load(cls, spec: ProfanitySpec) -> Profanity:
        """Load the package's own model."""
        _folder()
        return cls()

    @classmethod
    def weights(cls, spec: ProfanitySpec) -> str:
        """SHA-256 over the two files of the model."""
        return _weights(_folder())

    @staticmethod
    def card(spec: ProfanitySpec) -> Card:
        """A bag of English words."""
        return _CARD

    def known_words(self, text: str) -> tuple[int, int]:
        """See Scorer; words that the vectorizer leaves out tell nothing: `de`, `un` and `con` are among them."""
        words = [word for word in self._words(text.lower()) if not word.isnumeric() and word not in self._left_out]
        return sum(word in self._vocabulary for word in words), len(words)

    def _raw_scores(self, texts: list[str]) -> NDArray[np.float32]:
        features = self._vectorizer.transform(texts)
        return self._model.predict_proba(features)[:, 1:]


def _folder() -> Path:
    package = importlib.util.find_spec("profanity_check")
    if package is None or not package.submodule_search_locations:
        raise UnavailableError("the scorer profanity needs a package: pip install alt-profanity-check==1.9.1")
    return Path(package.submodule_search_locations[0]) / "data"


@cache
def _weights(folder: Path) -> str:
    return hashlib.sha256("".join(digest_file(folder / name) for name in _FILES).encode()).hexdigest()
