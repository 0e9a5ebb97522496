"""Texts that a scorer must not be asked about: its answer would be a number without meaning, and a low one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from curation.scorers import Scorer

FEWEST_KNOWN = 0.3
"""Share of known words below which a text is not in a language that the scorer was taught."""
_SURE = 0.65  # probability of a language, as the step `language` writes it, above which it counts


def why_unscored(text: str, scorer: Scorer) -> str:
    """Why `text` cannot be scored; '' where it can."""
    if why := why_not_text(text):
        return why
    known, words = scorer.known_words(text)
    if words and known < FEWEST_KNOWN * words:
        return "words unknown to the scorer"
    return ""


def why_not_text(text: str) -> str:
    """Why no scorer can tell anything about `text`; '' where one may."""
    return "NUL characters: not text, or in another encoding" if "\0" in text else ""


def out_of_languages(metadata: Mapping[str, Any], languages: tuple[str, ...]) -> str:
    """Why a document that the step `language` has seen cannot be scored by a scorer of `languages`; '' where it can."""
    language, score = metadata.get("language"), metadata.get("language_score")
    if not languages or not isinstance(language, str) or not isinstance(score, float) or score < _SURE:
        return ""
    return "" if language in languages else f"language {language}"
