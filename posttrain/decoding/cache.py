"""A key-value cache in one buffer, with room for candidates that may or may not become part of the text.

Hugging Face's dynamic cache grows by concatenation, which copies the whole prefix at every step. Here a forward writes
behind what is committed; `commit` then keeps all of it, `choose` keeps one candidate a row. That is what lets SASA
run K candidates as K tokens of one row instead of K copies of the row.

A forward sees the committed part only, so its shapes grow by a token a step. With `fix` they stop to: it writes where
`slots` says and sees the whole buffer, of which a mask hides the rest. That costs a little arithmetic, and is what a
CUDA graph needs.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers.cache_utils import Cache, CacheLayerMixin


class SlotLayer(CacheLayerMixin):
    """Keys and values of one layer, [rows, key-value heads, capacity, head_dim]; the first `length` are committed.

    `slots` [tokens] int64, where it is set, is where the next forward writes.
    """

    is_sliding = False  # transformers asks every layer when it builds masks

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self.capacity, self.length = capacity, 0
        self.keys: Any = None
        self.values: Any = None
        self.slots: torch.Tensor | None = None

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Allocate once the shape is known; zeros, as a masked key still takes part, and must be finite."""
        rows, heads, _, width = key_states.shape
        self.keys = key_states.new_zeros(rows, heads, self.capacity, width)
        self.values = value_states.new_zeros(rows, heads, self.capacity, value_states.shape[-1])
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write behind the committed part and return both together; with `slots` write there and return everything."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        if self.slots is not None:
            self.keys.index_copy_(2, self.slots, key_states)
            self.values.index_copy_(2, self.slots, value_states)
            return self.keys, self.values
        end = self.length + key_states.shape[-2]
        self.keys[:, :, self.length : end] = key_states
        self.values[:, :, self.length : end] = value_states
        return self.keys[:, :, :end], self.values[:, :, :end]

    def get_seq_length(self) -> int:
        """Number of committed tokens."""
        return self.length

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Number of keys a forward of `query_length` tokens sees, and where they begin."""
        return (self.capacity if self.slots is not None else self.length + query_length), 0

    def get_max_length(self) -> int:
        """Number of tokens there is room for."""
        return self.capacity


class SlotCache(Cache):
    """One SlotLayer a layer."""

    def __init__(self, layers: int, capacity: int) -> None:
        super().__init__(layers=[SlotLayer(capacity) for _ in range(layers)])

    @property
    def length(self) -> int:
        """Number of committed tokens."""
        return self.layers[0].length

    @property
    def capacity(self) -> int:
        """Number of tokens there is room for."""
        return self.layers[0].capacity

    def fix(self, slots: torch.Tensor | None) -> None:
        """Let the next forwards write at `slots` and see the whole buffer; with None behind what is committed."""
        for layer in self.layers:
            layer.slots = slots

    def commit(self, tokens: int) -> None:
        """Keep the `tokens` that the last forward wrote."""
        for layer in self.layers:
            layer.length += tokens

    def choose(self, index: torch.Tensor) -> None:
        """Keep, of what the last forward wrote, token `index[row]` of each row."""
        rows = torch.arange(len(index), device=index.device)
        for layer in self.layers:
            slot = layer.length
            layer.keys[:, :, slot] = layer.keys[rows, :, slot + index]
            layer.values[:, :, slot] = layer.values[rows, :, slot + index]
            layer.length = slot + 1

    def select(self, rows: torch.Tensor) -> None:
        """Keep these rows in this order; a row may be named several times."""
        for layer in self.layers:
            layer.keys, layer.values = layer.keys[rows], layer.values[rows]
