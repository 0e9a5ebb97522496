"""Tiny random models with real architectures, a tiny BPE tokenizer, and labelled text, all made here in a second."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from posttrain.labelled import Example, Labelled, balance
from posttrain.model import CausalModel, load_model
from tests.helpers.causal_models import BENIGN, TOXIC, held_out_row, save_mixture, save_model, sentences


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
