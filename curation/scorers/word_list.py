"""The scorer `word_list`: whether a text holds a word or phrase of a list, as C4 and Dolma filter by one.

Whole words count, whatever their case. A text is cut into runs of letters, digits and underscores, and single signs;
an entry occurs where its own pieces stand in that order. They are looked up, so that the time hardly depends on how
many entries there are; that of one regular expression grows with them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import regex

from curation.scorers.base import Card, Scorer
from curation.scorers.options import WordListSpec
from infra.artifacts.fingerprint import digest
from infra.errors import InputError
from infra.files.word_lists import listed_words

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PIECES = regex.compile(r" ?(?:[\p{L}\p{M}\p{N}_]+|[^\p{L}\p{M}\p{N}_])")
"""With the marks of letters, which `\\w` of `re` leaves out: most words of Hindi would fall apart. A space belongs to
the piece behind it, as that halves their number."""
_ASCII_PIECES = re.compile(r" ?(?:\w+|\W)")
"""The same for ASCII, in half the time."""
_BLIND_SPOTS = (
    "a list sees its own words as they are spelt, not meaning (quotation, negation, another sense) and no other word, "
    "form or spelling; hardly any word where a script puts no spaces between them"
)


class WordList(Scorer):
    """1 for a text that holds an entry of the list, else 0."""

    options = WordListSpec

    def __init__(self, spec: WordListSpec) -> None:
        entries = _entries(spec)
        self._entries = frozenset(f"{space}{entry}" for space in ("", " ") for entry in entries)
        self._lengths = _lengths_by_first_piece(self._entries)
        self.attributes = (spec.attribute,)
        self.identity = f"word_list@{_checksum(entries, spec.attribute)[:12]}"

    @classmethod
    def load(cls, spec: WordListSpec) -> WordList:
        """Read the list. Raises InputError for a file that is none, or holds no entry."""
        return cls(spec)

    @classmethod
    def weights(cls, spec: WordListSpec) -> str:
        """SHA-256 over the attribute and the entries, whose order, case and number of times do not count."""
        return _checksum(_entries(spec), spec.attribute)

    @staticmethod
    def card(spec: WordListSpec) -> Card:
        """The languages that the YAML says: a list knows none by itself."""
        return Card(spec.languages, _BLIND_SPOTS)

    def _raw_scores(self, texts: list[str]) -> NDArray[np.float32]:
        return np.array([[self._occurs_in(text)] for text in texts], np.float32)

    def _occurs_in(self, text: str) -> bool:
        pieces = _pieces(_normal(text))
        if self._lengths.keys().isdisjoint(pieces):
            return False
        return any(
            "".join(pieces[start : start + length]) in self._entries
            for start, piece in enumerate(pieces)
            for length in self._lengths.get(piece, ())
        )


def _entries(spec: WordListSpec) -> list[str]:
    """The list as it is compared, sorted. Raises InputError."""
    words = spec.words if spec.path is None else listed_words(spec.path)
    if not words:
        raise InputError(f"{spec.path}: no word is listed")
    return sorted({_normal(word) for word in words})


def _normal(text: str) -> str:
    """Without case, letters and their marks composed, one space for any white space."""
    return " ".join(unicodedata.normalize("NFC", text.casefold()).split())


def _pieces(text: str) -> list[str]:
    return (_ASCII_PIECES if text.isascii() else _PIECES).findall(text)


def _lengths_by_first_piece(entries: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """First piece of an entry -> numbers of pieces of the entries that begin with it."""
    lengths: dict[str, set[int]] = {}
    for pieces in map(_pieces, entries):
        lengths.setdefault(pieces[0], set()).add(len(pieces))
    return {first: tuple(sorted(counts)) for first, counts in lengths.items()}


def _checksum(entries: list[str], attribute: str) -> str:
    return digest([attribute, entries])
