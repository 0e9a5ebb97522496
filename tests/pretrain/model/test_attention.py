"""Attention within documents: the same on every way to it, and no mask of all pairs where there are many.

Covers pretrain.model.attention, pretrain.model.core_attention, pretrain.model.context_parallel.
"""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention.flex_attention import create_block_mask, flex_attention
from torch.nn.functional import scaled_dot_product_attention

from pretrain.model.attention import _BlockMasks, block_mask, dense_mask, within_documents

documents = st.lists(st.lists(st.integers(1, 300), min_size=1, max_size=12), min_size=2, max_size=2)


def numbered(sizes: list[list[int]], length: int) -> torch.Tensor:
    """Documents of these sizes, cut at `length`; what they leave over is padding."""
    rows = [torch.repeat_interleave(torch.arange(len(row)), torch.tensor(row))[:length] for row in sizes]
    return torch.stack([torch.cat([row, row.new_full((length - len(row),), -1)]) for row in rows])


def by_pairs(document: torch.Tensor) -> torch.Tensor:
    """The mask as it is defined, of all pairs of tokens."""
    return (document[:, None, :, None] == document[:, None, None, :]).tril()


def heads(count: int, length: int, seed: int) -> torch.Tensor:
    """Something random for `count` heads, two rows."""
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(2, count, length, 16, generator=draw, requires_grad=True)


@settings(max_examples=20, deadline=None)
@given(documents, st.sampled_from([1, 100, 128, 384, 500]), st.sampled_from([0, 1, 128, 131]))
def test_block_masks_skip_and_take_whole_what_the_definition_says(sizes, queries, first):
    document = numbered(sizes, first + queries)
    defined = by_pairs(document)[:, :, first:]
    assert torch.equal(dense_mask(document, first, queries), defined)
    ours = block_mask(document, first, queries)
    theirs = create_block_mask(lambda b, h, q, k: defined[b, 0, q, k], 2, None, queries, first + queries, device="cpu")
    assert torch.equal(ours.to_dense(), theirs.to_dense())
    row, query, key = torch.meshgrid(*map(torch.arange, (2, queries, first + queries)), indexing="ij")
    assert torch.equal(ours.mask_mod(row, 0, query, key), defined[:, 0])
    for row, block in itertools.product(range(2), range(-(-queries // 128))):
        for column in ours.full_kv_indices[row, 0, block, : ours.full_kv_num_blocks[row, 0, block]].tolist():
            assert defined[row, 0, 128 * block : 128 * (block + 1), 128 * column : 128 * (column + 1)].all()


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("key_heads", [4, 2])
def test_a_document_by_itself_flexattention_and_the_mask_of_all_pairs_agree(key_heads):
    document, grouped = numbered([[70, 3, 150, 1, 60], [250]], 300), key_heads != 4
    inputs = heads(4, 300, 0), heads(key_heads, 300, 1), heads(key_heads, 300, 2)
    alone = within_documents(*inputs, document)
    defined = scaled_dot_product_attention(*inputs, attn_mask=by_pairs(document), enable_gqa=grouped)
    torch.testing.assert_close(alone, defined, atol=1e-5, rtol=1e-5)
    gradients = [torch.autograd.grad(way.square().sum(), inputs) for way in (alone, defined)]
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-4, rtol=1e-5)
    detached = [tensor.detach() for tensor in inputs]  # on a CPU FlexAttention has no gradients
    flex = flex_attention(*detached, block_mask=block_mask(document, 0, 300), enable_gqa=grouped)
    torch.testing.assert_close(flex, defined.detach(), atol=1e-5, rtol=1e-5)


def test_queries_in_the_middle_of_a_sequence_see_what_they_see_in_the_whole():
    document = numbered([[70, 3, 150, 1, 60], [250]], 300)
    query, key, value = (heads(2, 300, seed) for seed in range(3))
    whole = within_documents(query, key, value, document)
    middle = within_documents(query[:, :, 100:200], key[:, :, :200], value[:, :, :200], document, 100)
    torch.testing.assert_close(middle, whole[:, :, 100:200], atol=1e-5, rtol=1e-5)


def test_it_runs_where_values_are_not_known():
    query, document = torch.empty(2, 4, 64, 16, device="meta"), torch.empty(2, 64, dtype=torch.int64, device="meta")
    assert within_documents(query, query, query, document).shape == query.shape
    assert block_mask(document, 0, 64).kv_indices.device.type == "meta"


def test_the_layers_of_a_batch_share_a_mask_and_the_next_batch_has_its_own():
    masks, document = _BlockMasks(), numbered([[70, 58], [128]], 128)
    first = masks.of(document, 0, 128)
    assert masks.of(document.detach(), 0, 128) is first  # as recomputed activations hand it over
    assert masks.of(document, 64, 64) is not first and masks.of(document, 0, 128) is first
    document[0] = 5  # written over, as a static buffer of a CUDA graph
    assert masks.of(document, 0, 128) is not first
    assert masks.of(document.clone(), 0, 128) is not masks.of(document, 0, 128)
