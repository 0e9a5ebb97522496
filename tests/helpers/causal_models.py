"""A tiny causal model, its tokenizer, and a mixture of held-out rows for it."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from infra.artifacts.artifact import describe_files, now, write_manifest

BENIGN = ["the garden was lovely", "thank you for the book", "we walked to the river", "a calm and kind reply"]
TOXIC = ["you idiot go away now", "what a stupid moron you", "shut up you fool today", "such an ugly idiot rant"]
WORDS = ["today", "again", "at home", "in the rain", "after lunch", "with friends", "by noon", "for once"]


def sentences(pieces: list[str]) -> list[str]:
    return [f"{start} {piece} {end}" for start in WORDS for piece in pieces for end in WORDS[:3]]


def save_tokenizer(folder: Path) -> int:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet)
    tokenizer.train_from_iterator(sentences(BENIGN) + sentences(TOXIC), trainer)
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>")
    wrapped.save_pretrained(folder)
    return len(wrapped)


SIZES = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 96,
    "initializer_range": 0.2,
    "eos_token_id": 0,
    "bos_token_id": None,
    "pad_token_id": None,
}
"""Of the small models of the tests; weights are ten times the usual size, far from uniform."""


def save_model(folder: Path, architecture: str = "olmo", **changes: float) -> Path:
    """A random model that is far from uniform: its weights are ten times the usual size."""
    import transformers

    torch.manual_seed(0)
    vocabulary = save_tokenizer(folder)
    sizes = {"vocab_size": vocabulary, **SIZES}
    config, network = {
        "olmo": (transformers.OlmoConfig, transformers.OlmoForCausalLM),
        "llama": (transformers.LlamaConfig, transformers.LlamaForCausalLM),
        "neox": (transformers.GPTNeoXConfig, transformers.GPTNeoXForCausalLM),
    }[architecture]
    if architecture == "olmo":
        sizes["tie_word_embeddings"] = True
    network(config(**{**sizes, **changes})).save_pretrained(folder)
    return folder


def held_out_row(number: int, text: str, spans: list[dict] | None, score: float) -> dict:
    scores = [("toxicity", score)]
    return {"component": "risky", "id": f"d{number}", "text": text, "scores": scores, "spans": spans}


HELD_OUT = pa.schema(
    [
        ("component", pa.string()),
        ("id", pa.string()),
        ("text", pa.string()),
        ("scores", pa.map_(pa.string(), pa.float32())),
        (
            "spans",
            pa.list_(
                pa.struct(
                    [
                        ("start", pa.int32()),
                        ("end", pa.int32()),
                        ("attribute", pa.dictionary(pa.int32(), pa.string())),
                        ("score", pa.float32()),
                    ]
                )
            ),
        ),
    ]
)


def save_mixture(folder: Path, rows: list[dict]) -> Path:
    """As much of a built mixture as steering reads: its manifest and its held-out documents."""
    folder.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=HELD_OUT), folder / "held_out.parquet")
    about = {"kind": "mixture", "version": 1, "fingerprint": "f" * 64, "started": now()}
    write_manifest(folder, describe_files(folder), config={}, inputs={}, counts={}, notes=[], **about)
    return folder
