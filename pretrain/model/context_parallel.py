"""Context parallelism: one sequence divided over ranks, as Megatron-core divides it.

With R ranks a sequence is cut into 2 R chunks, and rank r holds chunks r and 2 R − 1 − r, so that under a causal mask
every rank has the same work. Megatron-core slices rotary positions and adds up gradients accordingly; its own
attention for divided sequences needs Transformer Engine, so this one gathers keys and values instead (as Llama 3's
training did) and runs anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as functional
from megatron.core import parallel_state
from megatron.core.tensor_parallel import gather_from_sequence_parallel_region
from megatron.core.transformer import TransformerConfig
from megatron.core.transformer.enums import AttnMaskType
from megatron.core.utils import get_batch_on_this_cp_rank
from torch import Tensor, nn

from pretrain.data.epoch import Batch
from pretrain.model.attention import within_documents


def on_this_rank(batches: Iterator[Batch]) -> Iterator[Batch]:
    """This context rank's part of every batch; the batch itself where sequences are not divided.

    `document` stays whole: a rank's queries look at the keys of all ranks.
    """
    for batch in batches:
        divided = {name: value for name, value in vars(batch).items() if name != "document"}
        yield replace(batch, **get_batch_on_this_cp_rank(divided))


class CoreAttention(nn.Module):
    """What Megatron hands to a core attention, of which only the causal one without dropout is asked for."""

    def __init__(self, config: TransformerConfig, layer_number: int, attn_mask_type: AttnMaskType, **_: Any) -> None:
        super().__init__()
        assert attn_mask_type == AttnMaskType.causal and not config.attention_dropout


class ContextParallelAttention(CoreAttention):
    """Causal core attention of this rank's two chunks of queries to all keys before them."""

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None = None, **_: Any
    ) -> Tensor:
        """Attend; query is [this rank's sequence, batch, heads, width], the result the same with heads × width.

        `attention_mask` is the document of each token of the whole sequence, int [batch, sequence], where attention
        begins anew at each document.
        """
        rank, ranks = parallel_state.get_context_parallel_rank(), parallel_state.get_context_parallel_world_size()
        key, value = _whole(key, ranks), _whole(value, ranks)
        early, late = query.chunk(2)
        attended = [
            _attend(early, key, value, rank, attention_mask),
            _attend(late, key, value, 2 * ranks - 1 - rank, attention_mask),
        ]
        return torch.cat(attended).flatten(2)


def _whole(part: Tensor, ranks: int) -> Tensor:
    """The whole sequence in its order, gathered over the context ranks; gradients go back to where they belong."""
    gathered = gather_from_sequence_parallel_region(part, group=parallel_state.get_context_parallel_group())
    chunks = gathered.chunk(2 * ranks)  # in the order 0, 2R−1, 1, 2R−2, …
    return torch.cat([*chunks[0::2], *reversed(chunks[1::2])])


def _attend(query: Tensor, key: Tensor, value: Tensor, chunk: int, document: Tensor | None) -> Tensor:
    """Queries of one chunk, which is the `chunk`-th of the sequence; [chunk length, batch, heads, width]."""
    length = len(query)
    first, seen = chunk * length, (chunk + 1) * length
    query, key, value = (part.permute(1, 2, 0, 3) for part in (query, key[:seen], value[:seen]))
    if document is None:
        mask = torch.ones(length, seen, dtype=torch.bool, device=query.device).tril(first)
        grouped = query.shape[1] != key.shape[1]
        attended = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, enable_gqa=grouped)
    else:
        attended = within_documents(query, key, value, document, first)
    return attended.permute(2, 0, 1, 3)
