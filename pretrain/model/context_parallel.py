"""Context parallelism: one sequence divided over ranks, as Megatron-core divides it.

With R ranks a sequence is cut into 2 R chunks, and rank r holds chunks r and 2 R − 1 − r, so that under a causal mask
every rank has the same work. Megatron-core slices rotary positions and adds up gradients accordingly; its own
attention for divided sequences needs Transformer Engine, so this one gathers keys and values instead (as Llama 3's
training did) and runs anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from megatron.core import parallel_state
from megatron.core.tensor_parallel import gather_from_sequence_parallel_region
from megatron.core.utils import get_batch_on_this_cp_rank
from torch import Tensor

from pretrain.data.epoch import Batch


def on_this_rank(batches: Iterator[Batch]) -> Iterator[Batch]:
    """This context rank's part of every batch; the batch itself where sequences are not divided.

    `document` stays whole: a rank's queries look at the keys of all ranks.
    """
    for batch in batches:
        divided = {name: value for name, value in vars(batch).items() if name != "document"}
        yield replace(batch, **get_batch_on_this_cp_rank(divided))


def whole_sequence(chunks: Tensor, ranks: int) -> Tensor:
    """[sequence, …] in its order, gathered over the context ranks from what is of this one, [sequence / ranks, …];
    gradients go back to where they belong.
    """
    gathered = gather_from_sequence_parallel_region(chunks, group=parallel_state.get_context_parallel_group())
    in_ranks_order = gathered.chunk(2 * ranks)  # 0, 2R−1, 1, 2R−2, …
    return torch.cat([*in_ranks_order[0::2], *reversed(in_ranks_order[1::2])])
