"""Which way a training would best be divided over the GPUs that its launcher has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pretrain.gpus import GPUS
from pretrain.model.architecture import Architecture
from pretrain.planning.estimate import Memory, Training, memory_per_rank
from pretrain.spec import ParallelSpec

USABLE = 0.85
"""Share of a GPU's memory that estimates may fill; the rest is for CUDA, NCCL and what the allocator cannot use."""

NODE = 8
"""GPUs that share fast links where the launcher does not say how many do."""


@dataclass(frozen=True)
class Layout:
    """A division of the model, sequences per forward pass, copies of the model, and what the fullest rank holds."""

    parallel: ParallelSpec
    micro_batch_size: int
    copies: int
    memory: Memory


def declared_layout(training: Training) -> Layout:
    """The layout that the file states."""
    spec = training.spec
    return _layout(training, spec.parallel, spec.micro_batch_size)


def best_layout(training: Training) -> Layout | None:
    """The layout that hormesis would choose; None where nothing fits.

    The fewer ranks a copy of the model has, the less they wait for each other, so the smallest division that fits
    wins: tensor parallelism first, inside a node; then pipeline stages. Of its micro-batches the largest that fits, as
    larger matrix products run closer to the peak.
    """
    room = USABLE * GPUS[training.spec.launcher.gpu].memory
    for parallel in _divisions(training):
        copies = training.ranks // parallel.copy_size
        share, left = divmod(training.spec.global_batch_size, copies)
        if left:
            continue
        for size in (size for size in range(share, 0, -1) if share % size == 0):
            layout = _layout(training, parallel, size)
            if layout.memory.total <= room:
                return layout
    return None


def _layout(training: Training, parallel: ParallelSpec, micro_batch_size: int) -> Layout:
    memory = memory_per_rank(training, parallel, micro_batch_size)
    return Layout(parallel, micro_batch_size, max(training.ranks // parallel.copy_size, 1), memory)


def _divisions(training: Training) -> list[ParallelSpec]:
    """Ways to divide the model over the ranks, the smallest first, and of those the ones with fewer stages."""
    architecture, ranks = training.architecture, training.ranks
    node = min(training.spec.launcher.ranks_per_node or NODE, ranks)
    sizes = [
        (tensor * stages, stages, tensor)
        for tensor in _tensor_sizes(architecture, node)
        for stages in range(1, architecture.num_layers + 1)
        if architecture.num_layers % stages == 0 and ranks % (tensor * stages) == 0
    ]
    return [
        training.spec.parallel.model_copy(
            update={
                "tensor": tensor,
                "sequence": tensor > 1 and training.sequence_length % tensor == 0,
                "pipeline": stages,
                "context": 1,
            }
        )
        for _, stages, tensor in sorted(sizes)
    ]


def _tensor_sizes(architecture: Architecture, node: int) -> Iterator[int]:
    for tensor in range(1, node + 1):
        divided = (architecture.num_attention_heads, architecture.num_query_groups, architecture.ffn_hidden_size, node)
        if all(value % tensor == 0 for value in divided):
            yield tensor
