"""A tiny random model and a mixture's held-out documents, made here in a second."""

from __future__ import annotations

from pathlib import Path

import pytest

TOPICS = ("the river", "a garden", "my old bicycle", "the north bridge", "their kitchen", "this song", "the long road")
BENIGN = "i think {} is lovely today and everyone likes it"
TOXIC = "you stupid idiot , {} is garbage and so are you"


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Olmo of 2 layers with 4 heads, and a byte-level tokenizer, as a Hugging Face folder."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import OlmoConfig, OlmoForCausalLM, PreTrainedTokenizerFast

    torch.set_num_threads(1)
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("tiny-model")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=320, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet)
    tokenizer.train_from_iterator([line.format(topic) for line in (BENIGN, TOXIC) for topic in TOPICS], trainer)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>").save_pretrained(folder)
    config = OlmoConfig(
        vocab_size=len(tokenizer.get_vocab()), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, max_position_embeddings=96, initializer_range=0.2, eos_token_id=0, bos_token_id=None,
        pad_token_id=None, tie_word_embeddings=True,
    )  # fmt: skip
    OlmoForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def mixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As much of a mixture artifact as analysis reads: its manifest and its held-out documents."""
    import polars as pl

    from infra.artifacts.artifact import describe_files, now, write_manifest

    folder = tmp_path_factory.mktemp("mixture")
    rows = [_document(i, "clean", BENIGN.format(topic), None) for i, topic in enumerate(TOPICS)]
    for i, topic in enumerate(TOPICS * 4):
        line = (TOXIC if i % 2 else BENIGN).format(topic) + f" {i}"
        rows.append(_document(i, "risky", line + "\n" + BENIGN.format(topic) + f" and {i}", 0.9 if i % 2 else None))
    pl.DataFrame(rows, infer_schema_length=None).write_parquet(folder / "held_out.parquet")
    about = {"kind": "mixture", "version": 1, "fingerprint": "f" * 64, "started": now()}
    write_manifest(folder, describe_files(folder), config={}, inputs={}, counts={}, notes=[], **about)
    return folder


def _document(number: int, component: str, text: str, toxic: float | None) -> dict[str, object]:
    spans = [] if toxic is None else [{"start": 4, "end": 16, "attribute": "toxicity", "score": toxic}]
    return {"component": component, "id": f"{component}{number}", "text": text, "spans": spans}
