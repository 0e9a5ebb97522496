"""What each token of a vocabulary adds to a text, whatever the kind of tokenizer: byte-level BPE, SentencePiece and
WordPiece alike.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

_REPLACEMENT = "\ufffd"
_PRINTABLE = (*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100))
_OTHERS = (byte for byte in range(256) if byte not in _PRINTABLE)
_BYTES = {chr(byte): byte for byte in _PRINTABLE} | {chr(256 + number): byte for number, byte in enumerate(_OTHERS)}
"""The alphabet of byte-level BPE (GPT-2's): printable bytes as they are, the others as letters from 256 on."""
_BYTE = re.compile(r"<0x([0-9A-F]{2})>")


@dataclass(frozen=True)
class TokenTexts:
    """`texts` by token id, "" for special tokens; `pieces` are the bytes of tokens that hold a part of a character."""

    texts: tuple[str, ...]
    pieces: dict[int, bytes]


@lru_cache(maxsize=2)
def token_texts(tokenizer: Any) -> TokenTexts:
    """Decode every token behind another, as a token by itself loses the space that it begins with."""
    (anchor,) = tokenizer("a", add_special_tokens=False)["input_ids"][-1:]
    before = _decode(tokenizer, [[anchor]])[0]
    pairs = _decode(tokenizer, [[anchor, token] for token in range(len(tokenizer))])
    texts = [pair.removeprefix(before) for pair in pairs]
    pieces = {
        token: bytes_of(tokenizer.convert_ids_to_tokens(token))
        for token, text in enumerate(texts)
        if _REPLACEMENT in text
    }
    return TokenTexts(tuple("" if token in pieces else text for token, text in enumerate(texts)), pieces)


def bytes_of(token: str) -> bytes:
    """Bytes of a token as a vocabulary writes it: `<0xE2>` (SentencePiece), byte-level BPE's alphabet, or text."""
    if (match := _BYTE.fullmatch(token)) is not None:
        return bytes.fromhex(match[1])
    if all(character in _BYTES for character in token):
        return bytes(_BYTES[character] for character in token)
    return token.encode()


def _decode(tokenizer: Any, rows: list[list[int]]) -> list[str]:
    texts: list[str] = tokenizer.backend_tokenizer.decode_batch(rows, skip_special_tokens=True)
    return texts
