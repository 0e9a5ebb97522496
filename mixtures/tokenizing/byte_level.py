"""Where a byte-level tokenizer's tokens lie in a text, without asking it.

A byte-level token stands for a fixed run of bytes, so the ends of a text's tokens are the running sum of their widths.
That saves the tokenizer the work of following offsets, and Python a tuple for every token. It holds for a text when the
widths add up to the text's bytes, which is checked; a normaliser must have left the text as it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, normalizers, pre_tokenizers

_BETWEEN_WORDS = re.compile("[A-Za-z](?= [A-Za-z])")
# All but blocks of characters that NFC keeps, and that never join the one before them: Latin, Cyrillic, punctuation,
# kana, Han, Hangul, emoji.
_NFC_MAY_CHANGE = re.compile(
    "[^\0-\u02ff\u0400-\u0482\u2002-\u20cf\u3041-\u3096\u30a1-\u30fa\u4e00-\u9fff\uac00-\ud7a3\uff01-\uff60"
    "\U0001f300-\U0001f64f]"
)

Offsets = NDArray[np.int64]


def widths(tokenizer: Tokenizer) -> NDArray[np.int32] | None:
    """Bytes that each token id stands for, or None where the tokenizer is not byte-level."""
    if not _is_byte_level(_json_of(tokenizer.pre_tokenizer)):
        return None
    alphabet = set(pre_tokenizers.ByteLevel.alphabet())
    added = {number: token.content for number, token in tokenizer.get_added_tokens_decoder().items()}
    vocabulary = tokenizer.get_vocab()
    table = np.zeros(max(vocabulary.values()) + 1, np.int32)
    for token, number in vocabulary.items():
        if number in added:
            table[number] = len(added[number].encode())
        elif alphabet.issuperset(token):
            table[number] = len(token)
        else:
            return None
    return table


def _json_of(pre_tokenizer: Any) -> dict[str, Any] | None:
    """A pre-tokenizer as in tokenizer.json, without writing down the whole tokenizer."""
    state: dict[str, Any] | None = None if pre_tokenizer is None else json.loads(pre_tokenizer.__getstate__())
    return state


def _is_byte_level(pre_tokenizer: dict[str, Any] | None) -> bool:
    """Whether a ByteLevel stands in the tokenizer's pre-tokenisation, alone or in a sequence."""
    if pre_tokenizer is None:
        return False
    return pre_tokenizer["type"] == "ByteLevel" or any(map(_is_byte_level, pre_tokenizer.get("pretokenizers", ())))


def unchanged(tokenizer: Tokenizer, text: str) -> bool:
    """Whether the tokenizer's normaliser leaves this text as it is."""
    normalizer = tokenizer.normalizer
    if normalizer is None or (isinstance(normalizer, normalizers.NFC) and nfc_keeps(text)):
        return True
    return bool(normalizer.normalize_str(text) == text)


def nfc_keeps(text: str) -> bool:
    """Whether all characters are such that NFC certainly leaves the text as it is; cheaper than asking NFC."""
    return text.isascii() or _NFC_MAY_CHANGE.search(text) is None


def without_nfc(tokenizer: Tokenizer) -> Tokenizer | None:
    """A tokenizer for texts of which `nfc_keeps` is true, with the same tokens for less work; None where there is none.

    It has the model, and so the known words, of `tokenizer`. A token that was added by hand is looked for in its
    normalised spelling, which must then be its own.
    """
    added = tokenizer.get_added_tokens_decoder()
    if not isinstance(tokenizer.normalizer, normalizers.NFC) or not all(
        nfc_keeps(token.content) for token in added.values()
    ):
        return None
    other = Tokenizer(tokenizer.model)
    other.pre_tokenizer, other.post_processor = tokenizer.pre_tokenizer, tokenizer.post_processor
    for _, token in sorted(added.items()):
        add = other.add_special_tokens if token.special else other.add_tokens
        add([token])
    other.encode_special_tokens = tokenizer.encode_special_tokens
    # Ids count on from the vocabulary; where the file left some out, they would be others.
    return other if other.get_added_tokens_decoder() == added else None


def byte_positions(text: str) -> Offsets:
    """The byte at which each character of a text begins, and, last, the text's size in bytes."""
    data = np.frombuffer(text.encode(), np.uint8)
    return np.append(np.flatnonzero((data & 0xC0) != 0x80), len(data)).astype(np.int64)


def cuts_between_words(tokenizer: Tokenizer) -> bool:
    """Whether a text may be cut between two words, before the space, without any token changing.

    So it is where the pre-tokenizer cuts there anyway, unless a token that was added by hand reaches over such a cut.
    """
    if tokenizer.pre_tokenizer is None:
        return False
    pieces = [piece for piece, _ in tokenizer.pre_tokenizer.pre_tokenize_str("ab cd")]
    added = tokenizer.get_added_tokens_decoder().values()
    return pieces == ["ab", "Ġcd"] and not any(_BETWEEN_WORDS.search(token.content) for token in added)


def segments(text: str, size: int) -> Iterator[tuple[int, int]]:
    """[start, end) of segments of a text, of about `size` characters, cut between words; one if it is short."""
    start = 0
    while len(text) - start > size and (cut := _BETWEEN_WORDS.search(text, start + size)):
        yield start, cut.end()
        start = cut.end()
    yield start, len(text)
