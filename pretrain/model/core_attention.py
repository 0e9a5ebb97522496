"""What Megatron takes as a layer's core attention: causal, without dropout, document by document where a batch says so.

All three classes attend by `pretrain.model.attention.attend`; they differ in which queries and keys a rank has.
"""

from __future__ import annotations

from typing import Any

import torch
from megatron.core import parallel_state
from megatron.core.extensions.transformer_engine import TEDotProductAttention
from megatron.core.transformer import TransformerConfig
from megatron.core.transformer.enums import AttnMaskType
from torch import Tensor, nn

from pretrain.model.attention import attend
from pretrain.model.context_parallel import whole_sequence


class CoreAttention(nn.Module):
    """What Megatron hands to a core attention, of which only the causal one without dropout is asked for."""

    def __init__(self, config: TransformerConfig, layer_number: int, attn_mask_type: AttnMaskType, **_: Any) -> None:
        super().__init__()
        assert attn_mask_type == AttnMaskType.causal and not config.attention_dropout


class ScaledDotProductAttention(CoreAttention):
    """Causal core attention on PyTorch's fused kernels, which pick flash attention where there is one."""

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None = None, **_: Any
    ) -> Tensor:
        """Attend; query is [sequence, batch, heads, width], the result [sequence, batch, heads × width].

        What Megatron hands on as `attention_mask` is the document of each token, int [batch, sequence], where
        attention begins anew at each document; None: a token sees all before it.
        """
        return attend(query, key, value, attention_mask).flatten(2)


class ContextParallelAttention(CoreAttention):
    """Causal core attention of this rank's two chunks of queries to all keys before them."""

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None = None, **_: Any
    ) -> Tensor:
        """As `ScaledDotProductAttention.forward`, of this rank's part of the sequence; `attention_mask` is of the whole
        one, int [batch, sequence].
        """
        rank, ranks = parallel_state.get_context_parallel_rank(), parallel_state.get_context_parallel_world_size()
        key, value = whole_sequence(key, ranks), whole_sequence(value, ranks)
        chunks = zip((rank, 2 * ranks - 1 - rank), query.chunk(2), strict=True)
        attended = [attend(queries, key, value, attention_mask, chunk * len(queries)) for chunk, queries in chunks]
        return torch.cat(attended).flatten(2)


class TransformerEngineAttention(nn.Module):
    """Transformer Engine's causal attention; ours for batches in which documents are kept apart.

    Not run so far: no machine with a GPU and Transformer Engine was at hand.
    """

    def __init__(self, config: TransformerConfig, layer_number: int, attn_mask_type: AttnMaskType, **rest: Any) -> None:
        super().__init__()
        self.causal = TEDotProductAttention(config, layer_number, attn_mask_type, **rest)
        self.within_documents = own_attention(config)(config, layer_number, attn_mask_type)

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None = None, **_: Any
    ) -> Tensor:
        """As `ScaledDotProductAttention.forward`."""
        if attention_mask is None:
            attended: Tensor = self.causal(query, key, value, None, AttnMaskType.causal)
        else:
            attended = self.within_documents(query, key, value, attention_mask)
        return attended


def own_attention(config: TransformerConfig) -> type[CoreAttention]:
    """The class that needs no Transformer Engine, by whether sequences are divided over ranks."""
    return ScaledDotProductAttention if config.context_parallel_size == 1 else ContextParallelAttention
