"""Sentences in other languages than English, as spaCy brings them: 8 or so a language, news and small talk."""

from __future__ import annotations

import importlib

LATIN = ("af", "ca", "cs", "da", "de", "es", "et", "eu", "fi", "fr", "ga", "hr", "hu", "id", "is", "it", "lt", "lv",
         "ms", "nb", "nl", "pl", "pt", "ro", "sk", "sl", "sq", "sv", "tl", "tr", "vi")  # fmt: skip
OTHER = ("ar", "bg", "bn", "el", "fa", "he", "hi", "ja", "ko", "mr", "ru", "sr", "ta", "te", "th", "uk", "ur", "zh")


def sentences(languages: tuple[str, ...]) -> list[str]:
    """Sentences of those languages for which spaCy has any."""
    texts: list[str] = []
    for language in languages:
        try:
            texts += importlib.import_module(f"spacy.lang.{language}.examples").sentences
        except ModuleNotFoundError:
            continue
    return texts
