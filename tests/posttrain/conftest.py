"""Tiny random models with real architectures, a tiny BPE tokenizer, and labelled text, all made here in a second."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from infra.artifact import describe_files, now, write_manifest
from posttrain.labelled import Example, Labelled, balance
from posttrain.model import CausalModel, load_model

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


def save_model(folder: Path, architecture: str = "olmo", **changes: int) -> Path:
    """A random model that is far from uniform: its weights are ten times the usual size."""
    import transformers

    torch.manual_seed(0)
    vocabulary = save_tokenizer(folder)
    sizes = {
        "vocab_size": vocabulary,
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
    config, network = {
        "olmo": (transformers.OlmoConfig, transformers.OlmoForCausalLM),
        "llama": (transformers.LlamaConfig, transformers.LlamaForCausalLM),
        "neox": (transformers.GPTNeoXConfig, transformers.GPTNeoXForCausalLM),
    }[architecture]
    if architecture == "olmo":
        sizes["tie_word_embeddings"] = True
    network(config(**{**sizes, **changes})).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("olmo"))


@pytest.fixture(scope="session")
def model(model_folder: Path) -> CausalModel:
    return load_model(str(model_folder), "cpu")


@pytest.fixture(scope="session")
def gqa_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("llama"), "llama", num_key_value_heads=2)


@pytest.fixture(scope="session")
def gqa_model(gqa_folder: Path) -> CausalModel:
    return load_model(str(gqa_folder), "cpu")


@pytest.fixture(scope="session")
def neox_model(tmp_path_factory: pytest.TempPathFactory) -> CausalModel:
    return load_model(str(save_model(tmp_path_factory.mktemp("neox"), "neox")), "cpu")


@pytest.fixture(scope="session")
def labelled() -> Labelled:
    examples = [Example(text, False, f"b{i}") for i, text in enumerate(sentences(BENIGN))]
    examples += [Example(text, True, f"t{i}") for i, text in enumerate(sentences(TOXIC))]
    return balance(examples, 60, seed=0)


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


@pytest.fixture
def mixture(tmp_path: Path) -> Path:
    """Documents of two lines; the second line of every other document holds a span of 0.9."""
    rows = []
    for number, (kind, nasty) in enumerate(zip(sentences(BENIGN), sentences(TOXIC), strict=True)):
        second = nasty if number % 2 else f"{kind} indeed"
        text = f"{kind}\n{second}"
        start = len(kind) + 1
        span = {"start": start, "end": len(text), "attribute": "toxicity", "score": 0.9}
        rows.append(held_out_row(number, text, [span] if number % 2 else [], 0.9 if number % 2 else 0.1))
    return save_mixture(tmp_path / "mixture", rows)
