"""From spans of a text to the risk of its tokens: a token takes the highest score of the spans that it overlaps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from mixtures.formats import risk
from mixtures.tokenizing import byte_level

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Spans:
    """Risky spans of a batch as parallel arrays: document (position in the batch), [start, end) in code points, risk
    byte.
    """

    document: Ints
    start: Ints
    end: Ints
    risk: risk.Bytes

    def between(self, first: int, last: int) -> Spans:
        """Spans of the documents first <= d < last, renumbered from 0."""
        keep = (self.document >= first) & (self.document < last)
        return Spans(self.document[keep] - first, self.start[keep], self.end[keep], self.risk[keep])

    def of(self, documents: Ints) -> Spans:
        """Spans of these documents only, numbered as before."""
        keep = np.isin(self.document, documents)
        return Spans(self.document[keep], self.start[keep], self.end[keep], self.risk[keep])

    def within(self, start: int, end: int) -> Spans:
        """What of the spans of a single document lies in its segment [start, end), counted from there."""
        keep = (self.start < end) & (self.end > start)
        first, last = (np.clip(offsets[keep], start, end) - start for offsets in (self.start, self.end))
        return Spans(self.document[keep], first, last, self.risk[keep])

    def moved(self, positions: Mapping[int, Ints]) -> Spans:
        """The same with offsets exchanged: `positions` holds, by document, the new offset at each old one."""
        start, end = self.start.copy(), self.end.copy()
        for document, table in positions.items():
            in_document = self.document == document
            start[in_document], end[in_document] = table[start[in_document]], table[end[in_document]]
        return Spans(self.document, start, end, self.risk)


NO_SPANS = Spans(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.uint8))


@dataclass(frozen=True)
class Tagged:
    """Documents of a batch that have spans and tokens: document d has `counts[d]` tokens (its EOS not counted), which
    follow each other in the batch from `starts[d]` on.
    """

    documents: Ints
    starts: Ints
    counts: Ints

    @property
    def sizes(self) -> Ints:
        """Tokens of each of the documents."""
        return self.counts[self.documents]

    @property
    def begins(self) -> Ints:
        """Where each of them begins in a table of their tokens alone."""
        return np.cumsum(self.sizes) - self.sizes

    @property
    def rows(self) -> Ints:
        """Place in the batch of every token in that table."""
        return np.repeat(self.starts[self.documents] - self.begins, self.sizes) + np.arange(self.sizes.sum())

    def only(self, keep: NDArray[np.bool_]) -> Tagged:
        """Those of the documents for which `keep` is true."""
        return Tagged(self.documents[keep], self.starts, self.counts)


def mark_by_bytes(
    levels: risk.Bytes,
    width: NDArray[np.int32],
    tokenizer: Tokenizer,
    texts: Sequence[str],
    spans: Spans,
    tagged: Tagged,
) -> Tagged:
    """Mark the documents whose tokens' widths in bytes add up to their text; returns the others, which are not marked.

    `width` holds the widths of the documents' tokens, one after another.
    """
    if not len(tagged.documents):
        return tagged
    sizes, begins = tagged.sizes, tagged.begins
    running = np.cumsum(width, dtype=np.int64)
    end = running - np.repeat((running - width)[begins], sizes)
    documents = tagged.documents.tolist()
    wide = {number: byte_level.byte_positions(texts[number]) for number in documents if not texts[number].isascii()}
    bytes_ = np.asarray([wide[number][-1] if number in wide else len(texts[number]) for number in documents])
    same = np.asarray([byte_level.unchanged(tokenizer, texts[number]) for number in documents], dtype=bool)
    fits = same & (end[begins + sizes - 1] == bytes_)
    inside = np.repeat(fits, sizes)
    _raise(levels, (end - width)[inside], end[inside], spans.moved(wide), tagged.only(fits))
    return tagged.only(~fits)


def mark_by_offsets(
    levels: risk.Bytes, texts: Sequence[str], encodings: Sequence[Encoding], spans: Spans, tagged: Tagged
) -> None:
    """Mark documents by the tokenizer's own offsets; `texts` and `encodings` are those of the tagged documents, in
    their order.
    """
    tables = [offsets_of(encoding, text) for encoding, text in zip(encodings, texts, strict=True)]
    offsets = np.concatenate(tables) if tables else np.zeros((0, 2), np.int64)
    _raise(levels, offsets[:, 0], offsets[:, 1], spans, tagged)


def offsets_of(encoding: Encoding, text: str) -> Ints:
    """[tokens, 2]: where each token lies in its text, in code points.

    A normaliser that joins a letter with the combining marks behind it, or drops characters, leaves these to no token.
    They belong to the tokens in front of them, at the beginning of a text to the first; blanks belong to none.
    """
    count = len(encoding)
    offsets = np.fromiter(chain.from_iterable(encoding.offsets), np.int64, 2 * count).reshape(count, 2)
    if not count:
        return offsets
    reach = np.maximum.accumulate(offsets[:, 1])
    follows = np.append(offsets[1:, 0], len(text))
    for token in np.flatnonzero(follows > reach).tolist():
        left = text[reach[token] : follows[token]].rstrip()
        if left:
            first = np.searchsorted(reach, reach[token])
            offsets[first : token + 1, 1] = reach[token] + len(left)
    if text[: offsets[0, 0]].strip():
        offsets[offsets[:, 0] == offsets[0, 0], 0] = 0
    return offsets


def _raise(levels: risk.Bytes, start: Ints, end: Ints, spans: Spans, tagged: Tagged) -> None:
    """Raise the risk of the tagged documents' tokens, which lie at [start, end), to that of the spans over them.

    Each document is shifted behind the one before it, so that one search serves all of them.
    """
    if not len(tagged.documents):
        return
    spans, sizes = spans.of(tagged.documents), tagged.sizes
    slot = np.searchsorted(tagged.documents, spans.document)
    reach = np.maximum.reduceat(np.maximum(start, end), tagged.begins) + 1
    shift = np.cumsum(np.maximum(reach, _highest(slot, spans.end, len(sizes))) + 1)
    shift = np.concatenate([[0], shift[:-1]])
    token_shift = np.repeat(shift, sizes)
    start, end = _monotone(start + token_shift, end + token_shift)
    first = np.searchsorted(end, spans.start + shift[slot], side="right")
    last = np.searchsorted(start, spans.end + shift[slot], side="left")
    width = np.maximum(last - first, 0)
    row = np.repeat(first - (np.cumsum(width) - width), width) + np.arange(width.sum())
    np.maximum.at(levels, tagged.rows[row], np.repeat(spans.risk, width))


def _monotone(start: Ints, end: Ints) -> tuple[Ints, Ints]:
    """Starts and ends, neither ever falling.

    A byte-level tokenizer's are so already; a normaliser that reorders text may break that, and then a token is widened
    over its neighbours' place: risk is rather marked too far than missed. A token without width covers what follows it.
    """
    return np.minimum.accumulate(start[::-1])[::-1], np.maximum.accumulate(np.maximum(end, start + 1))


def _highest(slot: Ints, value: Ints, slots: int) -> Ints:
    highest = np.zeros(slots, np.int64)
    np.maximum.at(highest, slot, value)
    return highest
