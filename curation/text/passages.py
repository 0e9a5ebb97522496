"""Passages: the pieces in which a long text is scored.

A scorer reads a limited length (a transformer cuts at 512 tokens, and a bag of words dilutes one insult among a
thousand harmless words), so a document is scored piece by piece and its score is the highest of its pieces: a
document is as risky as its riskiest passage. A passage is a line; a longer line is cut after the last end of a
sentence that fits, else at the last space.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_SENTENCE_END = re.compile(r"[.!?…][\"'”’)\]]*\s")


def passages(text: str, longest: int) -> Iterator[str]:
    """Cut `text` into pieces of at most `longest` characters; a text without visible characters is one piece."""
    is_visible = False
    for line in text.split("\n"):
        for piece in _cut(line.strip(), longest):
            is_visible = True
            yield piece
    if not is_visible:
        yield text[:longest]


def _cut(line: str, longest: int) -> Iterator[str]:
    """Pieces of a line; positions move through it, since copying the rest each time would square the cost."""
    start = 0
    while len(line) - start > longest:
        end = _last_break(line, start, longest)
        if piece := line[start:end].strip():
            yield piece
        start = end
        while start < len(line) and line[start].isspace():
            start += 1
    if rest := line[start:].strip():
        yield rest


def _last_break(line: str, start: int, longest: int) -> int:
    """Where to cut a line that is too long: a position in (start, start + longest]."""
    ends = [match.end() for match in _SENTENCE_END.finditer(line, start, start + longest)]
    if ends:
        return ends[-1]
    space = line.rfind(" ", start + 1, start + longest)
    return space if space > start else start + longest


def stretches(text: str, longest: int) -> Iterator[tuple[int, int]]:
    """Cut `text` into [start, end) stretches of at most `longest` characters that together are the whole text: after
    the last line end that fits, else after the last white space, else anywhere.
    """
    start = 0
    while len(text) - start > longest:
        end = start + longest
        cut = text.rfind("\n", start, end) + 1 or _last_space(text, start, end)
        yield start, cut or end
        start = cut or end
    yield start, len(text)


def _last_space(text: str, start: int, end: int) -> int:
    """Position after the last white space of text[start:end], looked for near its end; 0 where there is none."""
    for position in range(end - 1, max(start, end - 10_000), -1):
        if text[position].isspace():
            return position + 1
    return 0
