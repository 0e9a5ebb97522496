"""A built mixture as training samples: every token of every component is a target exactly once per epoch.

Megatron's own datasets do the work. Two things differ from stock GPTDataset. Its samples overlap by one token and the
tail of the corpus is dropped; here the *targets* of the samples divide the token stream, the last sample is padded,
and the input that precedes a sample's first target is fetched beside it (the very first target follows an EOS). And
every token comes with its risk byte, read through the same indices from the risk twin.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from megatron.core.datasets.blended_dataset import BlendedDataset
from megatron.core.datasets.gpt_dataset import GPTDataset, GPTDatasetConfig
from megatron.core.datasets.indexed_dataset import IndexedDataset
from megatron.core.datasets.utils import Split
from torch import Tensor

from infra.errors import DataError
from mixtures.risk import STRUCTURAL, UNSCORED

_PADDING = -1  # no token has this id, so padding cannot be confused with a token of the tokenizer


@dataclass(frozen=True)
class Tokens:
    """Token files of one component: prefixes of an IndexedDataset and of its risk twin (None: nothing was scored)."""

    name: str
    prefix: Path
    risk_prefix: Path | None


@dataclass(frozen=True)
class _Vocabulary:
    """What Megatron's datasets ask of a tokenizer."""

    vocab_size: int
    eod: int
    pad: int = _PADDING

    @property
    def unique_identifiers(self) -> dict[str, Any]:
        return {"vocab_size": self.vocab_size, "eod": self.eod}


class RiskDataset(GPTDataset):
    """One epoch of one component.

    A sample is {"text": int64 [s + 1], "risk": uint8 [s + 1]}: inputs are the first s, targets the last s. Risk is
    STRUCTURAL at the padding and at the EOS before the first token.
    """

    def __init__(self, tokens: Tokens, config: GPTDatasetConfig) -> None:
        prefix = str(tokens.prefix)
        indexed = self.build_low_level_dataset(prefix, config)
        documents = np.arange(len(indexed.sequence_lengths), dtype=np.int32)
        # Only the validation split may keep its last, partial sample.
        super().__init__(indexed, prefix, documents, None, Split.valid, config)
        self._pad_token_id = _PADDING
        self._risk = None if tokens.risk_prefix is None else self._twin(tokens.risk_prefix)

    def _twin(self, prefix: Path) -> RiskDataset:
        """The same samples with another payload."""
        risk = IndexedDataset(str(prefix), mmap=self.config.mmap_bin_files)
        if not np.array_equal(risk.sequence_lengths, self.dataset.sequence_lengths):
            raise DataError(
                f"{prefix}.idx: the risk twin's documents differ from those of its tokens; build the mixture again"
            )
        twin = copy.copy(self)
        twin.dataset = risk
        twin._pad_token_id = STRUCTURAL
        return twin

    def __getitem__(self, index: int) -> dict[str, Any]:
        targets, _ = self._query_document_sample_shuffle_indices(index)
        padding = targets == _PADDING
        text = np.empty(len(targets) + 1, dtype=np.int64)
        risk = np.full(len(text), UNSCORED, dtype=np.uint8)
        text[0], risk[0] = self._before(index)
        text[1:] = np.where(padding, self.config.tokenizer.eod, targets)
        if self._risk is not None:
            risk[1:], _ = self._risk._query_document_sample_shuffle_indices(index)
        risk[1:][padding] = STRUCTURAL
        return {"text": torch.from_numpy(text), "risk": torch.from_numpy(risk)}

    def _before(self, index: int) -> tuple[int, int]:
        """Token and risk byte before the first target of a sample."""
        position, offset = (int(value) for value in self.sample_index[self.shuffle_index[index]])
        while offset == 0:
            if position == 0:
                return self.config.tokenizer.eod, STRUCTURAL
            position -= 1
            offset = int(self.dataset.sequence_lengths[self.document_index[position]])
        document = self.document_index[position]
        token = self.dataset.get(document, offset=offset - 1, length=1)[0]
        risk = UNSCORED if self._risk is None else self._risk.dataset.get(document, offset=offset - 1, length=1)[0]
        return int(token), int(risk)


@dataclass(frozen=True)
class DataSettings:
    """How samples are cut and ordered: `sequence_length` targets a sample, `end_of_document` the EOS id."""

    sequence_length: int
    vocab_size: int
    end_of_document: int
    cache: Path


def build_epoch(components: Sequence[Tokens], settings: DataSettings, seed: int) -> BlendedDataset:
    """One epoch over all components, interleaved in proportion to their sizes, documents and samples shuffled by
    `seed`.

    The relative order of a component's samples depends on that component and the seed only, so arms that differ in
    another component present it alike. Collective: rank 0 builds the index files in `settings.cache`, the others read
    them.
    """
    config = GPTDatasetConfig(
        random_seed=seed,
        sequence_length=settings.sequence_length,
        blend=([str(part.prefix) for part in components], None),
        split="0,1,0",
        path_to_cache=str(settings.cache),
        tokenizer=_Vocabulary(settings.vocab_size, settings.end_of_document),
        reset_position_ids=False,
        reset_attention_mask=False,
        eod_mask_loss=False,
        create_attention_mask=False,
        drop_last_partial_validation_sequence=False,
        add_extra_token_to_sequence=False,
    )
    if dist.get_rank() == 0:
        _blend(components, config)
    dist.barrier()
    return _blend(components, config)


def _blend(components: Sequence[Tokens], config: GPTDatasetConfig) -> BlendedDataset:
    datasets = [RiskDataset(part, config) for part in components]
    return BlendedDataset(datasets, [len(each) for each in datasets], None, config)


@dataclass(frozen=True)
class Batch:
    """One micro-batch; `component` [batch] indexes the blend, everything else is [batch, sequence]."""

    inputs: Tensor
    targets: Tensor
    input_risk: Tensor
    target_risk: Tensor
    component: Tensor


@dataclass(frozen=True)
class Batches:
    """Division of an epoch into steps, micro-batches and data-parallel ranks. The last step may be short."""

    dataset: BlendedDataset
    global_size: int
    micro_size: int
    rank: int = 0
    ranks: int = 1

    @property
    def steps(self) -> int:
        """Steps an epoch takes."""
        return -(-len(self.dataset) // self.global_size)

    def micro_batches(self, step: int) -> int:
        """Micro-batches of one step, the same on every rank."""
        samples = min(self.global_size, len(self.dataset) - step * self.global_size)
        return -(-samples // (self.micro_size * self.ranks))

    def read(self, step: int, device: torch.device) -> Iterator[Batch]:
        """This rank's micro-batches of one step. Where samples run out, rows are padding and carry no loss."""
        first = step * self.global_size
        last = min(first + self.global_size, len(self.dataset))
        for number in range(self.micro_batches(step)):
            start = first + (number * self.ranks + self.rank) * self.micro_size
            rows = [self.dataset[index] for index in range(start, min(start + self.micro_size, last))]
            yield _collate(rows, self.micro_size, self.dataset.config, device)


def _collate(rows: list[dict[str, Any]], size: int, config: GPTDatasetConfig, device: torch.device) -> Batch:
    text = torch.full((size, config.sequence_length + 1), config.tokenizer.eod, dtype=torch.long)
    risk = torch.full(text.shape, STRUCTURAL, dtype=torch.uint8)
    component = torch.zeros(size, dtype=torch.long)
    for index, row in enumerate(rows):
        text[index], risk[index], component[index] = row["text"], row["risk"], int(row["dataset_id"])
    text, risk, component = (part.to(device, non_blocking=True) for part in (text, risk, component))
    return Batch(text[:, :-1].contiguous(), text[:, 1:].contiguous(), risk[:, :-1], risk[:, 1:].contiguous(), component)
