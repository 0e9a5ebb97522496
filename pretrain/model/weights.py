"""Weights between Megatron-core's layout, divided over ranks, and the Hugging Face layout of OlmoForCausalLM.

Megatron                                         Hugging Face                divided over tensor ranks
embedding.word_embeddings.weight                 embed_tokens (= lm_head)    by rows, zero rows at the end
decoder.layers.I.self_attention.linear_qkv       q_proj, k_proj, v_proj      by rows; per group: its queries, key, value
decoder.layers.I.self_attention.linear_proj      o_proj                      by columns
decoder.layers.I.mlp.linear_fc1                  gate_proj, up_proj          each rank holds [its gate; its up]
decoder.layers.I.mlp.linear_fc2                  down_proj                   by columns
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import torch
import torch.distributed as dist
import torch.nn.functional as functional
from megatron.core import parallel_state
from torch import Tensor

from pretrain.model.architecture import Architecture
from pretrain.model.olmo import OlmoModel, initial_weight
from pretrain.runtime.distributed import first_copy
from pretrain.spec import COLLECTIVE_TIMEOUT

State = dict[str, Tensor]
ReadWeight = Callable[[str], Tensor]

EMBEDDING = "model.embed_tokens.weight"
_EMBEDDING = "embedding.word_embeddings.weight"
_LAYER = re.compile(r"decoder\.layers\.(\d+)\.(.+)")


def weight_shapes(architecture: Architecture) -> dict[str, tuple[int, int]]:
    """Name and [out, in] of every Hugging Face weight; `lm_head` shares the embedding and is not listed."""
    hidden, ffn, keys = architecture.hidden_size, architecture.ffn_hidden_size, architecture.key_size
    shapes = {EMBEDDING: (architecture.vocab_size, hidden)}
    for layer in range(architecture.num_layers):
        shapes |= {
            _hf(layer, "self_attn.q_proj"): (hidden, hidden),
            _hf(layer, "self_attn.k_proj"): (keys, hidden),
            _hf(layer, "self_attn.v_proj"): (keys, hidden),
            _hf(layer, "self_attn.o_proj"): (hidden, hidden),
            _hf(layer, "mlp.gate_proj"): (ffn, hidden),
            _hf(layer, "mlp.up_proj"): (ffn, hidden),
            _hf(layer, "mlp.down_proj"): (hidden, ffn),
        }
    return shapes


def initialise(model: OlmoModel, architecture: Architecture, seed: int) -> None:
    """Fill this rank's weights with OLMo's initialisation; every parallel layout gets the same model."""
    shapes = weight_shapes(architecture)

    def draw(name: str) -> Tensor:
        layer = re.search(r"layers\.(\d+)\.", name)
        return initial_weight(name, shapes[name], int(layer[1]) if layer else 0, seed, architecture)

    load(model, architecture, draw)


@torch.no_grad()
def load(model: OlmoModel, architecture: Architecture, read: ReadWeight) -> None:
    """Fill this rank's weights from Hugging Face weights, fetched one at a time by name through `read`."""
    ranks, rank = _tensor_ranks()
    for name, parameter in model.named_parameters():
        full = _megatron_weight(_global_name(name, architecture), architecture, read, ranks, rank)
        parameter.copy_(full.to(parameter.dtype))


def gather(
    model: OlmoModel, architecture: Architecture, timeout: float = COLLECTIVE_TIMEOUT
) -> Iterator[tuple[str, Tensor]]:
    """Hugging Face weights, one by one, on the CPU of rank 0; the other ranks send what they have and get nothing.

    Collective: every rank goes on to the end. Only the ranks of the first copy of the model take part, so that rank 0
    holds one weight at a time besides its own, however many copies there are. `timeout` is in minutes.
    """
    holders, group = first_copy(timeout)
    if group is None:
        return
    local = {_global_name(name, architecture): value.detach() for name, value in model.named_parameters()}
    rank = dist.get_rank()
    ranks, _ = _tensor_ranks()
    dtype = next(iter(local.values())).dtype
    for name, size in megatron_shapes(architecture, ranks).items():
        stage = _stage(name, architecture)
        owners = holders[stage * ranks : (stage + 1) * ranks]
        if rank == 0:
            shards = [local[name].cpu() if owner == 0 else _received(size, dtype, owner, group) for owner in owners]
            yield from _hf_weights(name, shards, architecture).items()
        elif rank in owners:
            dist.send(local[name].cpu().contiguous(), 0, group)


def _received(size: tuple[int, int], dtype: torch.dtype, owner: int, group: dist.ProcessGroup) -> Tensor:
    shard = torch.empty(size, dtype=dtype)
    dist.recv(shard, owner, group)
    return shard


def megatron_shapes(architecture: Architecture, ranks: int) -> dict[str, tuple[int, int]]:
    """Name, with layers counted over all pipeline stages, and size on one of `ranks` tensor ranks of every weight."""
    hidden, ffn, keys = architecture.hidden_size, architecture.ffn_hidden_size, architecture.key_size
    layer = {
        "self_attention.linear_qkv": ((hidden + 2 * keys) // ranks, hidden),
        "self_attention.linear_proj": (hidden, hidden // ranks),
        "mlp.linear_fc1": (2 * ffn // ranks, hidden),
        "mlp.linear_fc2": (hidden, ffn // ranks),
    }
    shapes = {_EMBEDDING: (-(-architecture.vocab_size // ranks), hidden)}
    for number in range(architecture.num_layers):
        shapes |= {f"decoder.layers.{number}.{name}.weight": size for name, size in layer.items()}
    return shapes


def _stage(name: str, architecture: Architecture) -> int:
    """Pipeline stage of a weight; the tied embedding is the first stage's."""
    stages = parallel_state.get_pipeline_model_parallel_world_size()
    return 0 if name == _EMBEDDING else _layer_and_kind(name)[0] // (architecture.num_layers // stages)


def _tensor_ranks() -> tuple[int, int]:
    return parallel_state.get_tensor_model_parallel_world_size(), parallel_state.get_tensor_model_parallel_rank()


def _global_name(name: str, architecture: Architecture) -> str:
    """Megatron name with layers counted over all pipeline stages; the last stage's tied output is the embedding."""
    if name == "output_layer.weight":
        return _EMBEDDING
    if not (match := _LAYER.fullmatch(name)):
        return name
    stages = parallel_state.get_pipeline_model_parallel_world_size()
    offset = parallel_state.get_pipeline_model_parallel_rank() * (architecture.num_layers // stages)
    return f"decoder.layers.{int(match[1]) + offset}.{match[2]}"


def _hf(layer: int, name: str) -> str:
    return f"model.layers.{layer}.{name}.weight"


def _megatron_weight(name: str, architecture: Architecture, read: ReadWeight, ranks: int, rank: int) -> Tensor:
    """One Megatron weight of one tensor rank."""

    def rows(weight: Tensor) -> Tensor:  # this rank's, of [out, in]
        return weight.chunk(ranks, 0)[rank]

    if name == _EMBEDDING:
        padding = -architecture.vocab_size % ranks
        return rows(functional.pad(read(EMBEDDING), (0, 0, 0, padding)))
    layer, kind = _layer_and_kind(name)
    if kind == "self_attention.linear_qkv.weight":
        query, key, value = (read(_hf(layer, f"self_attn.{letter}_proj")) for letter in "qkv")
        return rows(merge_qkv(query, key, value, architecture))
    if kind == "self_attention.linear_proj.weight":
        return read(_hf(layer, "self_attn.o_proj")).chunk(ranks, 1)[rank]
    if kind == "mlp.linear_fc1.weight":
        return torch.cat([rows(read(_hf(layer, "mlp.gate_proj"))), rows(read(_hf(layer, "mlp.up_proj")))])
    assert kind == "mlp.linear_fc2.weight", name
    return read(_hf(layer, "mlp.down_proj")).chunk(ranks, 1)[rank]


def _hf_weights(name: str, shards: list[Tensor], architecture: Architecture) -> State:
    """The Hugging Face weights that one Megatron weight holds; `shards` are what the tensor ranks have of it."""
    if name == _EMBEDDING:
        return {EMBEDDING: torch.cat(shards)[: architecture.vocab_size]}
    layer, kind = _layer_and_kind(name)
    if kind == "self_attention.linear_qkv.weight":
        split = split_qkv(torch.cat(shards), architecture)
        return {_hf(layer, f"self_attn.{letter}_proj"): weight for letter, weight in zip("qkv", split, strict=True)}
    if kind == "self_attention.linear_proj.weight":
        return {_hf(layer, "self_attn.o_proj"): torch.cat(shards, 1)}
    if kind == "mlp.linear_fc1.weight":
        gates, ups = zip(*(shard.chunk(2) for shard in shards), strict=True)
        return {_hf(layer, "mlp.gate_proj"): torch.cat(gates), _hf(layer, "mlp.up_proj"): torch.cat(ups)}
    assert kind == "mlp.linear_fc2.weight", name
    return {_hf(layer, "mlp.down_proj"): torch.cat(shards, 1)}


def _layer_and_kind(name: str) -> tuple[int, str]:
    match = _LAYER.fullmatch(name)
    assert match, f"unknown weight {name}"
    return int(match[1]), match[2]


def merge_qkv(query: Tensor, key: Tensor, value: Tensor, architecture: Architecture) -> Tensor:
    """[(heads + 2 groups) · width, hidden] in Megatron's order: each group's query heads, then its key, its value."""
    groups, hidden = architecture.num_query_groups, query.shape[1]
    grouped = [weight.reshape(groups, -1, hidden) for weight in (query, key, value)]
    return torch.cat(grouped, dim=1).reshape(-1, hidden)


def split_qkv(merged: Tensor, architecture: Architecture) -> tuple[Tensor, Tensor, Tensor]:
    """Undo `merge_qkv`."""
    hidden, width = merged.shape[1], architecture.head_size
    queries = architecture.num_attention_heads // architecture.num_query_groups * width
    grouped = merged.reshape(architecture.num_query_groups, -1, hidden)
    query, key, value = (weight.reshape(-1, hidden) for weight in grouped.split([queries, width, width], dim=1))
    return query, key, value
