"""Spellings that hide a word, undone before a linear scorer reads it: `sh1t`, `f u c k`, full-width letters."""

from __future__ import annotations

import re
import unicodedata

_LETTERS = {
    "а": "a", "е": "e", "о": "o", "р": "p", "с": "c", "у": "y", "х": "x", "і": "i", "ѕ": "s", "ј": "j", "к": "k",
    "м": "m", "т": "t", "н": "h", "в": "b", "α": "a", "ο": "o", "ε": "e", "ι": "i", "κ": "k", "ν": "v", "ρ": "p",
    "τ": "t", "υ": "u", "χ": "x",
}  # fmt: skip
_MIXED = re.compile(rf"[a-z]\w*[{''.join(_LETTERS)}]|[{''.join(_LETTERS)}]\w*[a-z]")  # a word in two alphabets
_WORD = re.compile(r"\w+")
_LOOKS = str.maketrans(_LETTERS)
_SIGNS = str.maketrans("0134578@$!€", "oieastbasie")
_INSIDE = re.compile(r"(?<=[a-z])[0134578@$!€]{1,2}(?=[a-z])|(?<![\w$])\$(?=[a-z])")
_SPACED = re.compile(r"(?<!\w)[a-z](?:[ .\-_*][a-z]){2,}(?!\w)")
_BETWEEN = re.compile(r"[ .\-_*]")
_REPEATED = re.compile(r"([^\W\d])\1{2,}")


def plain_spelling(text: str) -> str:
    """`text` in lower case with look-alikes, signs for letters, letters apart and long repetitions undone."""
    if not text.isascii():
        composed = unicodedata.normalize("NFKC", text)
        text = "".join(
            sign for sign in composed if unicodedata.category(sign) != "Cf"
        )  # zero-width and direction signs
    text = text.lower()
    if not text.isascii():
        text = _WORD.sub(lambda word: word[0].translate(_LOOKS) if _MIXED.search(word[0]) else word[0], text)
    text = _INSIDE.sub(lambda signs: signs[0].translate(_SIGNS), text)
    text = _SPACED.sub(lambda letters: _BETWEEN.sub("", letters[0]), text)
    return _REPEATED.sub(r"\1", text)
