"""One epoch over a built mixture, and its division into steps, micro-batches and ranks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from mixtures.spec.mixture import PackingSpec
from pretrain.data.index import Array, fill_blend, stored_arrays
from pretrain.data.samples import EpochSamples, Rows, TargetRange
from pretrain.data.token_files import ComponentFiles


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


@dataclass(frozen=True)
class EpochDataset:
    """Samples of several streams in one order: sample i is number `sample[i]` of stream `stream[i]`."""

    streams: Sequence[EpochSamples]
    stream: Array
    sample: Array
    settings: DataSettings
    seed: int

    def __len__(self) -> int:
        return len(self.stream)

    def read(self, numbers: range, count: int | None = None) -> Rows:
        """Samples by their numbers; as `count` rows, of which those behind the samples are padding."""
        settings = self.settings
        rows = Rows.empty(len(numbers) if count is None else count, settings.sequence_length, settings.end_of_document)
        streams = self.stream[numbers.start : numbers.stop]
        for stream in np.unique(streams):
            at = np.flatnonzero(streams == stream)
            self.streams[stream].read(self.sample[numbers.start + at], at, rows)
        return rows

    def target_ranges(self, number: int) -> list[TargetRange]:
        """Where the targets of a sample come from, in order."""
        return self.streams[self.stream[number]].target_ranges(int(self.sample[number]))


def build_epoch(components: Sequence[ComponentFiles], settings: DataSettings, seed: int) -> EpochDataset:
    """One epoch over all components, interleaved in proportion to their sizes, documents and samples shuffled by `seed`
    (but for components that keep their order).

    The relative order of a component's samples, or of its documents where components are packed together, depends on
    that component and the seed only, so arms that differ in another component present it alike. Collective: rank 0
    builds the index files that `settings.cache` lacks, the others map them.
    """
    if dist.get_rank() == 0:  # alone, so that the ranks of a node do not sort the same documents side by side
        _epoch(components, settings, seed)
    dist.barrier()
    return _epoch(components, settings, seed)


def _epoch(components: Sequence[ComponentFiles], settings: DataSettings, seed: int) -> EpochDataset:
    numbered = {number: files for number, files in enumerate(components) if not files.is_empty}
    together = settings.packing.together == "all"
    packed = [numbered] if together else [{number: files} for number, files in numbered.items()]
    streams = [EpochSamples(components, settings.sequence_length, seed, settings.cache) for components in packed]
    sizes = [len(stream) for stream in streams]
    blend = stored_arrays(settings.cache, {"samples": sizes}, partial(fill_blend, sizes=sizes))
    return EpochDataset(streams, blend["stream"], blend["sample"], settings, seed)


@dataclass(frozen=True)
class Batch:
    """One micro-batch, [batch, sequence]; `component` (of the target) and `input_component` index the blend.

    `document`, int, is that of the *target*, where attention begins anew at each document: the EOS from which a
    document's first token is predicted opens that document. None: a position sees all before it.
    """

    inputs: Tensor
    targets: Tensor
    input_risk: Tensor
    target_risk: Tensor
    input_component: Tensor
    component: Tensor
    document: Tensor | None

    @classmethod
    def from_rows(cls, rows: Rows, reset_attention: bool) -> Batch:
        """Inputs and, one token on, targets, on the CPU; `document` only where attention begins anew at each."""
        text, risk, component = (torch.from_numpy(values) for values in (rows.text, rows.risk, rows.component))
        return cls(
            inputs=text[:, :-1].contiguous(),
            targets=text[:, 1:].contiguous(),
            input_risk=risk[:, :-1].contiguous(),
            target_risk=risk[:, 1:].contiguous(),
            input_component=component[:, :-1].contiguous(),
            component=component[:, 1:].contiguous(),
            document=torch.from_numpy(rows.document)[:, 1:].contiguous() if reset_attention else None,
        )

    def tensors(self) -> Iterator[Tensor]:
        """All that there are."""
        return (value for value in vars(self).values() if value is not None)

    def map(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """The batch with every tensor changed."""
        tensors = ((name, value) for name, value in vars(self).items() if value is not None)
        return replace(self, **{name: change(value) for name, value in tensors})

    def to(self, device: torch.device) -> Batch:
        """The batch on a device; the copy of pinned memory goes on while the caller does."""
        return self.map(lambda tensor: tensor.to(device, non_blocking=True))


@dataclass
class Batches:
    """Division of an epoch into steps, micro-batches and data-parallel ranks. The last step may be short."""

    dataset: EpochDataset
    global_size: int
    micro_size: int
    rank: int = 0
    ranks: int = 1

    @property
    def sequence_length(self) -> int:
        """Targets of a sample."""
        return self.dataset.settings.sequence_length

    @property
    def steps(self) -> int:
        """Steps an epoch takes."""
        return -(-len(self.dataset) // self.global_size)

    def micro_batches(self, step: int) -> list[range]:
        """Samples of this rank's micro-batches of one step, by their numbers in the epoch. There are as many on every
        rank; the last may hold fewer than `micro_size`, or none.
        """
        first, stride = step * self.global_size, self.micro_size * self.ranks
        last = min(first + self.global_size, len(self.dataset))
        starts = range(first + self.rank * self.micro_size, last + self.rank * self.micro_size, stride)
        return [range(start, max(start, min(start + self.micro_size, last))) for start in starts]

    def read(self, step: int, device: torch.device) -> Iterator[Batch]:
        """This rank's micro-batches of one step. Where samples run out, rows are padding and carry no loss."""
        for samples in self.micro_batches(step):
            rows = self.dataset.read(samples, self.micro_size)
            yield Batch.from_rows(rows, self.dataset.settings.packing.reset_attention).to(device)

    def close(self) -> None:
        """End what reads ahead; here nothing does."""
