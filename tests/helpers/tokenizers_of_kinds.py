"""Small tokenizers of three kinds: byte-level BPE, SentencePiece with bytes to fall back on, WordPiece; of texts."""

from __future__ import annotations

import json
from collections.abc import Sequence

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

KINDS = ("byte_level", "sentencepiece", "wordpiece")
END = "</s>"


def tokenizer_of(kind: str, texts: Sequence[str], size: int = 600) -> PreTrainedTokenizerFast:
    made = {"byte_level": _byte_level, "sentencepiece": _sentencepiece, "wordpiece": _wordpiece}[kind](texts, size)
    return PreTrainedTokenizerFast(tokenizer_object=made, eos_token=END)


def _byte_level(texts: Sequence[str], size: int) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=size, special_tokens=[END], initial_alphabet=alphabet)
    )
    return tokenizer


def _sentencepiece(texts: Sequence[str], size: int) -> Tokenizer:
    """As Llama 2's: a space is a mark of the token behind it, and a rare character is bytes."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    special = [END, "<unk>", *(f"<0x{byte:02X}>" for byte in range(256))]
    letters = sorted(set("▁" + "".join(texts)) - set("üÜ"))
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=special, limit_alphabet=len(letters))
    plain = Tokenizer(models.BPE())
    plain.normalizer = tokenizer.normalizer
    plain.train_from_iterator([text.replace("ü", "").replace("Ü", "") for text in texts], trainer)
    learned = json.loads(plain.to_str())["model"]
    tokenizer.model = models.BPE(
        learned["vocab"], [tuple(pair) for pair in learned["merges"]], byte_fallback=True, unk_token="<unk>"
    )
    tokenizer.add_special_tokens([END, "<unk>"])
    return tokenizer


def _wordpiece(texts: Sequence[str], size: int) -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(cleanup=False)
    tokenizer.train_from_iterator(texts, trainers.WordPieceTrainer(vocab_size=size, special_tokens=[END, "[UNK]"]))
    return tokenizer
