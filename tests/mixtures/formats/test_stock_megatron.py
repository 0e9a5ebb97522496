"""Megatron-core's own data sets read a built mixture, with nothing of ours in between.

Covers mixtures.formats.file_names.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import torch.distributed as dist
from tokenizers import Tokenizer

from mixtures.reading.built import BuiltMixture

gpt = pytest.importorskip("megatron.core.datasets.gpt_dataset")
builder = pytest.importorskip("megatron.core.datasets.blended_megatron_dataset_builder")

SAMPLES = 40


class Vocabulary:
    """What Megatron asks of a tokenizer."""

    def __init__(self, mixture: BuiltMixture) -> None:
        self.vocab_size, self.eod, self.pad = mixture.facts.vocab_size, mixture.facts.eos_id, mixture.facts.pad_id
        self.unique_identifiers = {"vocab_size": self.vocab_size}


@pytest.fixture
def one_process(tmp_path: Path) -> Iterator[None]:
    """The process group of one rank that a blended data set asks for."""
    dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'rendezvous'}", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def test_samples_of_stock_megatron_are_the_documents_of_both_components(
    mixture: BuiltMixture, curation: Path, tmp_path: Path, one_process: None
) -> None:
    blend = json.loads((mixture.path / "blend.json").read_text())
    config = gpt.GPTDatasetConfig(
        random_seed=3,
        sequence_length=64,
        blend=([str(mixture.path / prefix) for prefix in blend["prefixes"]], blend["weights"]),
        split="100,0,0",
        path_to_cache=str(tmp_path / "cache"),
        tokenizer=Vocabulary(mixture),
        reset_position_ids=False,
        reset_attention_mask=False,
        eod_mask_loss=False,
    )
    made = builder.BlendedMegatronDatasetBuilder(gpt.GPTDataset, [SAMPLES, 0, 0], lambda: True, config)
    blended = made.build()[0]
    assert type(blended).__name__ == "BlendedDataset" and type(blended.datasets[0]) is gpt.GPTDataset
    names = blend["prefixes"]
    streams = [stream(dataset, documents(mixture, curation, name))
               for name, dataset in zip(names, blended.datasets, strict=True)]  # fmt: skip
    read = dict.fromkeys(names, 0)
    for number in range(SAMPLES):
        which, index = int(blended.dataset_index[number]), int(blended.dataset_sample_index[number])
        first = int(blended.datasets[which].shuffle_index[index]) * 64
        sample = blended[number]
        whole = torch.cat([sample["tokens"], sample["labels"][-1:]])
        assert whole.tolist() == streams[which][first : first + 65].tolist()
        read[names[which]] += 1
    assert read == {"clean": 36, "risky": 4}  # nine to one, as their tokens


def documents(mixture: BuiltMixture, curation: Path, component: str) -> list[list[int]]:
    """Tokens of a component's documents, made anew from the text of the corpus."""
    tokenizer = Tokenizer.from_file(str(mixture.tokenizer / "tokenizer.json"))
    token_lists = []
    for row in pq.read_table(mixture.path / "documents.parquet").to_pylist():
        if row["component"] == component:
            shard = pq.read_table(curation / "corpora" / row["corpus"] / row["shard"], columns=["text"])
            text = shard.column("text")[row["row"]].as_py()
            token_lists.append([*tokenizer.encode(text).ids, mixture.facts.eos_id][: row["tokens"]])
    return token_lists


def stream(dataset: Any, documents: list[list[int]]) -> np.ndarray[Any, Any]:
    """The documents one after another in the order that Megatron drew, which its samples are cut from."""
    return np.concatenate([documents[index] for index in dataset.document_index])
