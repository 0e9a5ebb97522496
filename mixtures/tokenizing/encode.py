"""Text and spans to token ids and risk bytes.

Token ids are those of the untagged text: the tokenizer never sees a tag. A token takes the highest score of the spans
that it overlaps; offsets are Unicode code points, and a code point split over several byte-level tokens marks all of
them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer, models, processors

from infra.errors import DataError
from mixtures.formats import risk
from mixtures.formats.indexed import token_dtype
from mixtures.tokenizing import byte_level
from mixtures.tokenizing.marking import Spans, Tagged, mark_by_bytes, mark_by_offsets
from mixtures.tokenizing.plain_text import text_only

_BATCH_CHARACTERS = 4_000_000  # per call of the tokenizer, which is faster the more it gets; some hundred MB of results
_CACHED_WORDS = 200_000  # the tokenizer keeps the tokens of the first so many different words; its own limit is 10,000


@dataclass(frozen=True)
class Encoded:
    """Tokens of some documents one after another, EOS included; `lengths` has one item a document, and `spelled`
    says how often each text spells the EOS, which is there broken apart; None: there were no texts.
    """

    tokens: NDArray[Any]
    risk: risk.Bytes
    lengths: NDArray[np.int32]
    spelled: NDArray[np.int32] | None = None


class Encoder:
    """A tokenizer set up for corpora: no truncation, no padding, no special tokens but the EOS that ends each
    document.
    """

    def __init__(self, tokenizer_json: Path, eos_id: int) -> None:
        self._path = tokenizer_json
        original = Tokenizer.from_file(str(tokenizer_json))
        self._eos = str(original.id_to_token(eos_id))
        # A document that spells "<|endoftext|>" must not end there: special tokens in the text are ordinary text.
        original.no_truncation()
        original.no_padding()
        self.tokenizer = text_only(original, eos_id)
        # Trimmed offsets would leave the space in front of a word without a place in the text.
        self.tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
        if isinstance(self.tokenizer.model, models.BPE):
            self.tokenizer.model._resize_cache(_CACHED_WORDS)
        self.eos_id = eos_id
        self.dtype = token_dtype(self.tokenizer.get_vocab_size())
        self._widths = byte_level.widths(self.tokenizer)
        self._in_segments = byte_level.cuts_between_words(self.tokenizer)

    @cached_property
    def _without_nfc(self) -> Tokenizer | None:
        return None if self._widths is None else byte_level.without_nfc(self.tokenizer)

    def encode(self, texts: Sequence[str], spans: Spans | None) -> Iterator[Encoded]:
        """Encode documents in pieces of bounded size. `spans` None: nobody looked, every token is unscored."""
        for first, last in _pieces(texts):
            range_spans = None if spans is None else spans.between(first, last)
            if self._in_segments and last - first == 1:
                yield self._encode_segments(texts[first], range_spans)
            else:
                yield self._encode(texts[first:last], range_spans)

    def _encode_segments(self, text: str, spans: Spans | None) -> Encoded:
        """A long document in segments: the tokenizer's record of a token takes a hundred times its bytes."""
        tokens, levels = [], []
        for start, end in byte_level.segments(text, _BATCH_CHARACTERS):
            segment = self._encode([text[start:end]], None if spans is None else spans.within(start, end))
            keep = -1 if end < len(text) else None  # the EOS of the last segment only
            tokens.append(segment.tokens[:keep])
            levels.append(segment.risk[:keep])
        joined = np.concatenate(tokens)
        return Encoded(joined, np.concatenate(levels), np.asarray([len(joined)], np.int32), self._spelled([text]))

    def _encode(self, texts: Sequence[str], spans: Spans | None) -> Encoded:
        encodings = self._encodings(list(texts))
        counts = np.fromiter((len(encoding) for encoding in encodings), np.int64, len(encodings))
        ends = np.cumsum(counts + 1)
        is_text = np.ones(int(ends[-1]), dtype=bool)
        is_text[ends - 1] = False
        tokens = np.full(len(is_text), self.eos_id, dtype=self.dtype)
        ids = np.fromiter(chain.from_iterable(encoding.ids for encoding in encodings), self.dtype, int(counts.sum()))
        if (ids == self.eos_id).any():
            raise DataError(
                f"{self._path}: it gives its end-of-text {self._eos!r} for text inside a document, which would end "
                "there; name another token as tokenizer.eos"
            )
        tokens[is_text] = ids
        levels = np.full(len(is_text), risk.UNSCORED if spans is None else risk.LOWEST, dtype=np.uint8)
        if spans is not None and len(spans.document):
            documents = np.unique(spans.document)
            tagged = Tagged(documents[counts[documents] > 0], ends - counts - 1, counts)  # a normaliser may leave none
            self._mark(levels, tokens, texts, encodings, spans, tagged)
        return Encoded(tokens, levels, (counts + 1).astype(np.int32), self._spelled(texts))

    def _spelled(self, texts: Sequence[str]) -> NDArray[np.int32]:
        """How often each text spells the EOS."""
        return np.fromiter((text.count(self._eos) for text in texts), np.int32, len(texts))

    def _encodings(self, texts: list[str]) -> list[Encoding]:
        """The tokenizer's own results; where offsets follow from the tokens' bytes it need not keep account of them."""
        if self._widths is None:
            return self.tokenizer.encode_batch(texts, add_special_tokens=False)
        if self._without_nfc is None:
            return self.tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        is_nfc = [byte_level.nfc_keeps(text) for text in texts]
        encodings = {}
        for kind, tokenizer in ((True, self._without_nfc), (False, self.tokenizer)):
            of_kind = [text for text, nfc in zip(texts, is_nfc, strict=True) if nfc == kind]
            encodings[kind] = iter(tokenizer.encode_batch_fast(of_kind, add_special_tokens=False))
        return [next(encodings[nfc]) for nfc in is_nfc]

    def _mark(
        self,
        levels: risk.Bytes,
        tokens: NDArray[Any],
        texts: Sequence[str],
        encodings: Sequence[Encoding],
        spans: Spans,
        tagged: Tagged,
    ) -> None:
        """Raise the risk of the tokens under spans, by the tokens' bytes where they tell, else by offsets."""
        if self._widths is not None:
            width = self._widths[tokens[tagged.rows]]
            tagged = mark_by_bytes(levels, width, self.tokenizer, texts, spans, tagged)
            left = [texts[document] for document in tagged.documents]
            mark_by_offsets(levels, left, self.tokenizer.encode_batch(left, add_special_tokens=False), spans, tagged)
        else:
            left = [texts[document] for document in tagged.documents]
            mark_by_offsets(levels, left, [encodings[document] for document in tagged.documents], spans, tagged)


def _pieces(texts: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Ranges of documents with bounded characters; a longer document is a piece of its own."""
    first = size = 0
    for index, text in enumerate(texts):
        if index > first and size + len(text) > _BATCH_CHARACTERS:
            yield first, index
            first, size = index, 0
        size += len(text)
    if first < len(texts):
        yield first, len(texts)
