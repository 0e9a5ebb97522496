"""Sentences of a text, as spans."""

from __future__ import annotations

import re

# A sentence ends with a line, or after its last full stop, question or exclamation mark and what closes a quotation.
# Chinese and Japanese marks end one even without a space behind them. A run of stops or of spaces is looked at once,
# from its beginning (the look-behinds) and without going back (`++`), so that 1 MB of dots costs what its length is.
_STOPS, _CLOSING = "[.!?…]", "[\"'”’)\\]]*+"
_SENTENCE = re.compile(
    rf"{_STOPS}{{2,}}+{_CLOSING}(?=\s)"
    rf"|\S[^\n]*?(?:(?<!{_STOPS}){_STOPS}++{_CLOSING}(?=\s)|[。！？]++[”’」』)]*+|(?<!\s)(?=[^\S\n]*+(?:\n|\Z)))"
)


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Half-open [start, end) spans, in code points, in order, apart; together they hold every visible character."""
    return [match.span() for match in _SENTENCE.finditer(text)]
