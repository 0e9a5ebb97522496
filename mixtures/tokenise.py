"""Text and spans to token ids and risk bytes.

Token ids are those of the untagged text: the tokenizer never sees a tag. A token takes the highest score of the spans
that it overlaps; offsets are Unicode code points, and a code point split over several byte-level tokens marks all of
them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer, processors

from mixtures import risk
from mixtures.indexed import token_dtype

_MOST_CHARACTERS = 250_000  # per call of the tokenizer: an Encoding costs some hundred bytes a token


@dataclass(frozen=True)
class Spans:
    """Risky spans of a batch as parallel arrays: document (position in the batch), [start, end) in code points, risk
    byte.
    """

    document: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    risk: risk.Bytes

    def between(self, first: int, last: int) -> Spans:
        """Spans of the documents first <= d < last, renumbered from 0."""
        keep = (self.document >= first) & (self.document < last)
        return Spans(self.document[keep] - first, self.start[keep], self.end[keep], self.risk[keep])

    def of(self, documents: NDArray[np.int64]) -> Spans:
        """Spans of these documents only, numbered as before."""
        keep = np.isin(self.document, documents)
        return Spans(self.document[keep], self.start[keep], self.end[keep], self.risk[keep])


NO_SPANS = Spans(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.uint8))


@dataclass(frozen=True)
class Encoded:
    """Tokens of some documents one after another, EOS included; `lengths` has one item a document."""

    tokens: NDArray[Any]
    risk: risk.Bytes
    lengths: NDArray[np.int32]


class Encoder:
    """A tokenizer set up for corpora: no truncation, no padding, no special tokens but the EOS that ends each
    document.
    """

    def __init__(self, tokenizer_json: Path, eos_id: int) -> None:
        self.tokenizer = Tokenizer.from_file(str(tokenizer_json))
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        # A document that spells "<|endoftext|>" must not end there: special tokens in the text are ordinary text.
        self.tokenizer.encode_special_tokens = True
        # Trimmed offsets would leave the space in front of a word without a place in the text.
        self.tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
        self.eos_id = eos_id
        self.dtype = token_dtype(self.tokenizer.get_vocab_size())

    def encode(self, texts: Sequence[str], spans: Spans | None) -> Iterator[Encoded]:
        """Encode documents in pieces of bounded size. `spans` None: nobody looked, every token is unscored."""
        for first, last in _pieces(texts):
            yield self._encode(texts[first:last], None if spans is None else spans.between(first, last))

    def _encode(self, texts: Sequence[str], spans: Spans | None) -> Encoded:
        encodings = self.tokenizer.encode_batch(list(texts), add_special_tokens=False)
        counts = np.fromiter((len(each) for each in encodings), np.int64, len(encodings))
        is_text = np.ones(int(counts.sum()) + len(texts), dtype=bool)
        is_text[np.cumsum(counts + 1) - 1] = False
        tokens = np.full(len(is_text), self.eos_id, dtype=self.dtype)
        tokens[is_text] = np.fromiter(
            chain.from_iterable(each.ids for each in encodings), self.dtype, int(counts.sum())
        )
        base = risk.UNSCORED if spans is None else risk.LOWEST
        levels = np.full(len(is_text), base, dtype=np.uint8)
        if spans is not None and len(spans.document):
            _mark(levels, encodings, counts, np.cumsum(counts + 1) - (counts + 1), spans)
        return Encoded(tokens, levels, (counts + 1).astype(np.int32))


def _mark(
    levels: risk.Bytes,
    encodings: Sequence[Encoding],
    counts: NDArray[np.int64],
    starts: NDArray[np.int64],
    spans: Spans,
) -> None:
    """Raise the risk of every token that a span overlaps, for all tagged documents of the piece at once.

    Document i has `counts[i]` tokens (EOS not counted), the first at `levels[starts[i]]`. Offsets cost as much as a
    quarter of the encoding, so they are read of tagged documents only; each document is shifted behind the one before
    it, so that one search serves all of them.
    """
    tagged = np.unique(spans.document)
    tagged = tagged[counts[tagged] > 0]
    if not len(tagged):  # a normaliser left nothing of the tagged documents
        return
    spans = spans.of(tagged)
    sizes, slot = counts[tagged], np.searchsorted(tagged, spans.document)
    begins = np.cumsum(sizes) - sizes
    offsets = _offsets([encodings[index] for index in tagged], int(sizes.sum()))
    furthest = np.maximum(np.maximum.reduceat(offsets.max(axis=1), begins) + 1, _highest(slot, spans.end, len(tagged)))
    shift = np.cumsum(furthest + 1) - (furthest + 1)
    start, end = _monotone(offsets + np.repeat(shift, sizes)[:, None])
    first = np.searchsorted(end, spans.start + shift[slot], side="right")
    last = np.searchsorted(start, spans.end + shift[slot], side="left")
    width = np.maximum(last - first, 0)
    row = np.repeat(first - (np.cumsum(width) - width), width) + np.arange(width.sum())
    place = np.repeat(starts[tagged] - begins, sizes) + np.arange(len(start))  # row of the table -> token
    np.maximum.at(levels, place[row], np.repeat(spans.risk, width))


def _offsets(encodings: Sequence[Encoding], tokens: int) -> NDArray[np.int64]:
    """[tokens, 2] code-point offsets of all encodings, one after another."""
    pairs = chain.from_iterable(each.offsets for each in encodings)
    return np.fromiter(chain.from_iterable(pairs), np.int64, 2 * tokens).reshape(-1, 2)


def _monotone(offsets: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Starts and ends, neither ever falling.

    Byte-level offsets are so already; a normaliser that reorders text may break that, and then a token is widened over
    its neighbours' place: risk is rather marked too far than missed. A token without width covers what follows it.
    """
    start = np.minimum.accumulate(offsets[::-1, 0])[::-1]
    return start, np.maximum.accumulate(np.maximum(offsets[:, 1], offsets[:, 0] + 1))


def _highest(slot: NDArray[np.int64], value: NDArray[np.int64], slots: int) -> NDArray[np.int64]:
    highest = np.zeros(slots, np.int64)
    np.maximum.at(highest, slot, value)
    return highest


def _pieces(texts: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Ranges of documents with bounded characters; a longer document is a piece of its own."""
    first = size = 0
    for index, text in enumerate(texts):
        if index > first and size + len(text) > _MOST_CHARACTERS:
            yield first, index
            first, size = index, 0
        size += len(text)
    if first < len(texts):
        yield first, len(texts)
