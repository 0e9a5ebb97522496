"""Causal attention that begins anew at each document, without a mask of all queries times all keys.

A token sees the tokens of its own document up to itself. On a GPU that is FlexAttention over blocks of 128 tokens, of
which those outside the document are skipped; on a CPU each document is attended to by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as functional
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention

_BLOCK = 128  # FlexAttention's own


def attend(query: Tensor, key: Tensor, value: Tensor, document: Tensor | None, first: int = 0) -> Tensor:
    """Causal attention of some queries, [queries, batch, heads, width], to the keys and values of the whole sequence,
    [sequence, batch, key heads, width]; the result is as the query.

    `first` is the position of the first query; `document`, int [batch, sequence], numbers each token's document where
    attention begins anew at each, None: a token sees all before it.
    """
    end = first + len(query)
    query, key, value = (heads.permute(1, 2, 0, 3) for heads in (query, key[:end], value[:end]))
    if document is not None:
        attended = within_documents(query, key, value, document, first)
    elif first == 0:
        attended = causal(query, key, value)
    else:  # PyTorch's `is_causal` lets the first query see the first key only
        mask = torch.ones(query.shape[2], end, dtype=torch.bool, device=query.device).tril(first)
        attended = _masked(query, key, value, mask)
    return attended.permute(2, 0, 1, 3)


def causal(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention to all tokens up to one's own; [batch, heads, sequence, width], heads of keys may be fewer."""
    grouped = query.shape[1] != key.shape[1]
    return functional.scaled_dot_product_attention(query, key, value, is_causal=query.shape[2] > 1, enable_gqa=grouped)


def within_documents(query: Tensor, key: Tensor, value: Tensor, document: Tensor, first: int = 0) -> Tensor:
    """Attention to the tokens of one's own document; query is [batch, heads, queries, width].

    `document`, int [batch, sequence], numbers each token's document, whose tokens are neighbours; `first` is the
    position of the first query. Keys and values are those of the positions up to the last query.

    Rotary positions are relative, so they need not begin anew.
    """
    if document.is_cuda:
        grouped = query.shape[1] != key.shape[1]
        mask = _block_masks.of(document, first, query.shape[2])
        attended: Tensor = _compiled()(query, key, value, block_mask=mask, enable_gqa=grouped)
        return attended
    if document.device.type == "cpu" and query.shape[2] == key.shape[2]:
        return _one_by_one(query, key, value, document[:, : query.shape[2]])
    return _masked(query, key, value, dense_mask(document, first, query.shape[2]))


def _masked(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    """Attention where the mask, bool [..., queries, keys], is true; [batch, heads, queries, width]."""
    grouped = query.shape[1] != key.shape[1]
    return functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, enable_gqa=grouped)


def dense_mask(document: Tensor, first: int, queries: int) -> Tensor:
    """The keys that each query sees; bool [batch, 1, queries, keys]."""
    begins = _begins(document)[:, first : first + queries, None]
    position = torch.arange(first + queries, device=document.device)
    return ((position >= begins) & (position <= position[first:, None]))[:, None]


def block_mask(document: Tensor, first: int, queries: int) -> BlockMask:
    """The same for FlexAttention, made from where documents begin and not from all pairs of tokens."""
    begins, last = _begins(document), first + queries - 1
    low = first + torch.arange(0, queries, _BLOCK, device=document.device)  # first and last query of each block
    high = (low + _BLOCK - 1).clamp(max=last)
    block = torch.arange(last // _BLOCK + 1, device=document.device)
    earliest, latest = begins[:, low, None], begins[:, high, None]
    seen = (block <= high[:, None] // _BLOCK) & (block >= earliest // _BLOCK)
    full = seen & (block * _BLOCK >= latest) & ((block + 1) * _BLOCK <= low[:, None] + 1)  # no pair need be masked

    def sees(row: Tensor, _head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (key >= begins[row, query + first]) & (key <= query + first)

    return BlockMask.from_kv_blocks(
        *_ordered(seen & ~full), *_ordered(full), _BLOCK, sees, seq_lengths=(queries, last + 1)
    )


def _ordered(blocks: Tensor) -> tuple[Tensor, Tensor]:
    """How many blocks of keys each block of queries has, and which, those first; int32 [batch, 1, …]."""
    order = torch.argsort(blocks.int(), dim=-1, descending=True, stable=True)
    return blocks.sum(-1, dtype=torch.int32)[:, None], order.int()[:, None]


def _begins(document: Tensor) -> Tensor:
    """First position of each token's document, [batch, sequence]."""
    position = torch.arange(document.shape[1], device=document.device)
    opens = torch.ones_like(document, dtype=torch.bool)
    opens[:, 1:] = document[:, 1:] != document[:, :-1]
    return torch.where(opens, position, 0).cummax(1).values


def _one_by_one(query: Tensor, key: Tensor, value: Tensor, document: Tensor) -> Tensor:
    """[batch, heads, sequence, width], a document of a row at a time; all but `document` [batch, sequence]."""
    rows = []
    for row, numbers in enumerate(document):
        sizes = torch.unique_consecutive(numbers, return_counts=True)[1].tolist()
        by_document = zip(*(heads[row : row + 1].split(sizes, dim=2) for heads in (query, key, value)), strict=True)
        rows.append(torch.cat([causal(*document_heads) for document_heads in by_document], dim=2))
    return torch.cat(rows)


class _BlockMasks:
    """The block masks of one batch: every layer asks for the same, and making one takes some thirty small kernels."""

    def __init__(self) -> None:
        self._document: Tensor | None = None  # held, so that no other tensor comes to lie at its address
        self._version = 0
        self._masks: dict[tuple[int, int], BlockMask] = {}

    @torch.compiler.disable
    def of(self, document: Tensor, first: int, queries: int) -> BlockMask:
        """The mask of these documents, made when they are seen for the first time."""
        if not self._holds(document):
            self._document, self._version, self._masks = document, document._version, {}
        if (first, queries) not in self._masks:
            self._masks[first, queries] = block_mask(document, first, queries)
        return self._masks[first, queries]

    def _holds(self, document: Tensor) -> bool:
        """Recomputed activations see the same memory as another tensor."""
        held = self._document
        if held is None or held.device != document.device or held.shape != document.shape:
            return False
        return held.data_ptr() == document.data_ptr() and self._version == document._version


_block_masks = _BlockMasks()


@cache
def _compiled() -> Callable[..., Tensor]:
    """FlexAttention as one kernel; uncompiled it would compute all pairs."""
    compiled: Callable[..., Tensor] = torch.compile(flex_attention, dynamic=False)
    return compiled
