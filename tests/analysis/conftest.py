"""A tiny random model and a mixture's held-out documents, made here in a second."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from posttrain.labelled import Example, Labelled, balance
from posttrain.methods.iti import Iti
from posttrain.methods.options import ItiArgs
from posttrain.model import CausalModel, load_model
from posttrain.steered import Steered, bind
from tests.helpers import causal_models
from tests.helpers.causal_models import save_model, sentences

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
    """Toxic texts are insults too."""
    names = [] if toxic is None else ["toxicity", "insult"]
    spans = [{"start": 4, "end": 16, "attribute": name, "score": toxic} for name in names]
    return {"component": component, "id": f"{component}{number}", "text": text, "spans": spans}


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> CausalModel:
    """A loaded random model, far from uniform."""
    torch.set_num_threads(1)
    return load_model(str(save_model(tmp_path_factory.mktemp("olmo"))), "cpu")


@pytest.fixture(scope="session")
def labelled() -> Labelled:
    """Made-up sentences of two classes."""
    examples = [Example(text, False, f"b{i}") for i, text in enumerate(sentences(causal_models.BENIGN))]
    examples += [Example(text, True, f"t{i}") for i, text in enumerate(sentences(causal_models.TOXIC))]
    return balance(examples, 40, seed=0)


@pytest.fixture(scope="session")
def iti(model: CausalModel, labelled: Labelled) -> Steered:
    """The model under an ITI that changes what it writes."""
    return bind(model, Iti.fit(model, labelled, ItiArgs(top_heads=4, folds=2), seed=0), 8.0)
