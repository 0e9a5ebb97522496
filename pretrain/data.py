"""One epoch over a built mixture, and its division into steps, micro-batches and ranks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from megatron.core.datasets.blended_dataset import BlendedDataset
from megatron.core.datasets.gpt_dataset import GPTDatasetConfig
from torch import Tensor

from mixtures.risk import STRUCTURAL
from mixtures.spec import PackingSpec
from pretrain.parts import Tokens
from pretrain.streams import PADDING, Stream


@dataclass(frozen=True)
class _Vocabulary:
    """What Megatron's datasets ask of a tokenizer."""

    vocab_size: int
    eod: int
    pad: int = PADDING

    @property
    def unique_identifiers(self) -> dict[str, Any]:
        return {"vocab_size": self.vocab_size, "eod": self.eod}


@dataclass(frozen=True)
class DataSettings:
    """How samples are cut and ordered: `sequence_length` targets a sample, `end_of_document` the EOS id, `packing`
    which documents share one.
    """

    sequence_length: int
    vocab_size: int
    end_of_document: int
    cache: Path
    packing: PackingSpec = field(default_factory=PackingSpec)


def build_epoch(components: Sequence[Tokens], settings: DataSettings, seed: int) -> BlendedDataset:
    """One epoch over all components, interleaved in proportion to their sizes, documents and samples shuffled by `seed`
    (but for components that keep their order).

    The relative order of a component's samples, or of its documents where components are packed together, depends on
    that component and the seed only, so arms that differ in another component present it alike. Collective: rank 0
    builds the index files in `settings.cache`, the others read them.
    """
    config = GPTDatasetConfig(
        random_seed=seed,
        sequence_length=settings.sequence_length,
        blend=([str(part.prefix) for part in components], None),
        split="0,1,0",
        path_to_cache=str(settings.cache),
        tokenizer=_Vocabulary(settings.vocab_size, settings.end_of_document),
        reset_position_ids=False,
        reset_attention_mask=settings.packing.reset_attention,
        eod_mask_loss=False,
        create_attention_mask=False,
        drop_last_partial_validation_sequence=False,
        add_extra_token_to_sequence=False,
    )
    if dist.get_rank() == 0:
        _blend(components, config, settings.packing)
    dist.barrier()
    return _blend(components, config, settings.packing)


def _blend(components: Sequence[Tokens], config: GPTDatasetConfig, packing: PackingSpec) -> BlendedDataset:
    numbered = {number: part for number, part in enumerate(components) if not part.is_empty}
    apart = [numbered] if packing.together == "all" else [{number: part} for number, part in numbered.items()]
    streams = [Stream(parts, config) for parts in apart]
    return BlendedDataset(streams, [len(each) for each in streams], None, config)


@dataclass(frozen=True)
class Batch:
    """One micro-batch, [batch, sequence]; `component` (of the target) and `input_component` index the blend.

    `attention_mask`, bool [batch, 1, sequence, sequence], says which keys a position sees where attention begins anew
    at each document; None: all before it.
    """

    inputs: Tensor
    targets: Tensor
    input_risk: Tensor
    target_risk: Tensor
    input_component: Tensor
    component: Tensor
    attention_mask: Tensor | None


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

    def samples(self, step: int) -> Iterator[int]:
        """Numbers, in the epoch, of the samples that this rank reads in one step, in the order of reading."""
        first = step * self.global_size
        last = min(first + self.global_size, len(self.dataset))
        for number in range(self.micro_batches(step)):
            start = first + (number * self.ranks + self.rank) * self.micro_size
            yield from range(start, min(start + self.micro_size, last))

    def read(self, step: int, device: torch.device) -> Iterator[Batch]:
        """This rank's micro-batches of one step. Where samples run out, rows are padding and carry no loss."""
        first = step * self.global_size
        last = min(first + self.global_size, len(self.dataset))
        for number in range(self.micro_batches(step)):
            start = first + (number * self.ranks + self.rank) * self.micro_size
            rows = [self.dataset[index] for index in range(start, min(start + self.micro_size, last))]
            yield _collate(rows, self.micro_size, self.dataset.config, device)


def own_document(document: Tensor) -> Tensor:
    """The keys that each position sees where attention begins anew at each document; `document` [batch, sequence] is
    that of the *target*, so that the EOS from which a document's first token is predicted opens that document.

    Rotary positions are relative, so they need not begin anew.
    """
    return (document[:, None, :, None] == document[:, None, None, :]).tril()


def _collate(rows: list[dict[str, Any]], size: int, config: GPTDatasetConfig, device: torch.device) -> Batch:
    shape = (size, config.sequence_length + 1)
    whole = {
        "text": np.full(shape, config.tokenizer.eod, dtype=np.int64),
        "risk": np.full(shape, STRUCTURAL, dtype=np.uint8),
        "component": np.zeros(shape, dtype=np.int64),
        "document": np.full((size, config.sequence_length), PADDING, dtype=np.int64),
    }
    for index, row in enumerate(rows):
        for name, values in whole.items():
            values[index] = row[name]
    sent = {name: torch.from_numpy(values).to(device, non_blocking=True) for name, values in whole.items()}
    return Batch(
        inputs=sent["text"][:, :-1].contiguous(),
        targets=sent["text"][:, 1:].contiguous(),
        input_risk=sent["risk"][:, :-1],
        target_risk=sent["risk"][:, 1:].contiguous(),
        input_component=sent["component"][:, :-1],
        component=sent["component"][:, 1:],
        attention_mask=own_document(sent["document"]) if config.reset_attention_mask else None,
    )
