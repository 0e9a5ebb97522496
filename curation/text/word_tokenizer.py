"""datatrove's word tokenizer, in time linear in the text.

spaCy takes the marks off a word one at a time and looks through the rest of it each time: 1,000 quotation marks in a
row take a tenth of a second, 100,000 take minutes (spaCy issue 4362 is of this kind). A run of marks longer than any
that is written on purpose says no more than a short one, so it is cut short before it is taken apart. So is a run of
ASCII characters without white space that is longer than any word (a data URL, a reference of a million digits),
through which it looks for each of its marks; scripts that write without spaces are left as they are.
"""

from __future__ import annotations

import re

from datatrove.utils.word_tokenizers import WordTokenizer, load_word_tokenizer

_LONG_RUN = re.compile(r"(?<![^\w\s])[^\w\s]{101,}+")
_SHORT = 8  # marks of such a run that are left
_LONG_WORD = re.compile(r"(?<![!-~])[!-~]{10001,}+")
_WORD = 100  # characters of such a word that are left


class BoundedTokenizer(WordTokenizer):
    """datatrove takes it wherever it takes a language; pickled, it is its language's code."""

    def word_tokenize(self, text: str) -> list[str]:
        """Words and marks."""
        return load_word_tokenizer(self.language).word_tokenize(_cut(text))

    def sent_tokenize(self, text: str) -> list[str]:
        """Sentences."""
        return load_word_tokenizer(self.language).sent_tokenize(_cut(text))

    def span_tokenize(self, text: str) -> list[tuple[int, int]]:
        """Half-open [start, end) offsets of the sentences in `text`, in code points."""
        return load_word_tokenizer(self.language).span_tokenize(_cut(text))


def _cut(text: str) -> str:
    """`text` at its length, since offsets are taken in it."""
    text = _LONG_WORD.sub(lambda word: word[0][:_WORD].ljust(len(word[0])), text)
    return _LONG_RUN.sub(lambda run: run[0][:_SHORT].ljust(len(run[0])), text)
