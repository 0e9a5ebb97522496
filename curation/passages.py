"""Passages: the pieces in which a long text is scored.

A scorer reads a limited length (a transformer cuts at 512 tokens, and a bag of words dilutes one insult among a
thousand harmless words), so a document is scored piece by piece and its score is the highest of its pieces: a
document is as risky as its riskiest passage. A passage is a line; a longer line is cut after the last end of a
sentence that fits, else at the last space.
"""

from __future__ import annotations

import re

_SENTENCE_END = re.compile(r"[.!?…][\"'”’)\]]*\s")


def passages(text: str, longest: int) -> list[str]:
    """Cut `text` into pieces of at most `longest` characters; a text without visible characters is one piece."""
    pieces = [piece for line in text.split("\n") if line.strip() for piece in _cut(line.strip(), longest)]
    return pieces or [text[:longest]]


def _cut(line: str, longest: int) -> list[str]:
    pieces = []
    while len(line) > longest:
        end = _last_break(line, longest)
        pieces.append(line[:end].strip())
        line = line[end:].strip()
    return [piece for piece in (*pieces, line) if piece]


def _last_break(line: str, longest: int) -> int:
    ends = [match.end() for match in _SENTENCE_END.finditer(line, 0, longest)]
    if ends:
        return ends[-1]
    space = line.rfind(" ", 1, longest)
    return space if space > 0 else longest
