"""Sentences of a text, as spans."""

from __future__ import annotations

import re

# A sentence ends with a line, or after its last full stop, question or exclamation mark and what closes a quotation.
# Chinese and Japanese marks end one even without a space behind them.
_SENTENCE = re.compile(r"\S[^\n]*?(?:[.!?…]+[\"'”’)\]]*(?=\s)|[。！？]+[”’」』)]*|(?=\s*(?:\n|\Z)))")


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Half-open [start, end) spans, in code points, in order, apart; together they hold every visible character."""
    return [match.span() for match in _SENTENCE.finditer(text)]
