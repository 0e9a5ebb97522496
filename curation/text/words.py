"""Words of a text, as spans."""

from __future__ import annotations

import re

# A word is a run of letters and digits, with what joins such runs inside a word: apostrophes, hyphens, and the signs
# that people put in place of letters ("sh*t", "@ss"). A sign at the end ("idiot!") is no part of the word.
WORD = re.compile(r"[@$]?\w+(?:[’'*@$\-]+\w+)*")


def word_spans(text: str) -> list[tuple[int, int]]:
    """Half-open [start, end) spans of the words of `text`, in code points, in order, never overlapping."""
    return [match.span() for match in WORD.finditer(text)]
