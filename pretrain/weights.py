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
from collections.abc import Callable

import torch
import torch.distributed as dist
import torch.nn.functional as functional
from megatron.core import parallel_state
from torch import Tensor

from pretrain.model import OlmoModel, initial_weight
from pretrain.presets import Architecture

State = dict[str, Tensor]
ReadWeight = Callable[[str], Tensor]

EMBEDDING = "model.embed_tokens.weight"
_LAYER = re.compile(r"decoder\.layers\.(\d+)\.(.+)")


def weight_shapes(shape: Architecture) -> dict[str, tuple[int, int]]:
    """Name and [out, in] of every Hugging Face weight; `lm_head` shares the embedding and is not listed."""
    hidden, ffn, keys = shape.hidden_size, shape.ffn_hidden_size, shape.num_query_groups * shape.head_size
    shapes = {EMBEDDING: (shape.vocab_size, hidden)}
    for layer in range(shape.num_layers):
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


def initialise(model: OlmoModel, shape: Architecture, seed: int) -> None:
    """Fill this rank's weights with OLMo's initialisation; every parallel layout gets the same model."""
    shapes = weight_shapes(shape)

    def draw(name: str) -> Tensor:
        found = re.search(r"layers\.(\d+)\.", name)
        return initial_weight(name, shapes[name], int(found[1]) if found else 0, seed, shape)

    load(model, shape, draw)


@torch.no_grad()
def load(model: OlmoModel, shape: Architecture, read: ReadWeight) -> None:
    """Fill this rank's weights from Hugging Face weights, fetched one at a time by name through `read`."""
    ranks, rank = _tensor_ranks()
    for name, parameter in model.named_parameters():
        full = _megatron_weight(_global_name(name, shape), shape, read, ranks, rank)
        parameter.copy_(full.to(parameter.dtype))


def hugging_face_weights(model: OlmoModel, shape: Architecture) -> State:
    """Weights of a model that is not divided, as Hugging Face names and lays them out; no copy is made of most."""
    state: State = {}
    for name, value in model.named_parameters():
        state |= _hf_weights(_global_name(name, shape), [value.detach()], shape)
    return state


def gather(model: OlmoModel, shape: Architecture) -> State | None:
    """Collect the whole model on rank 0 as Hugging Face weights on the CPU; None on the other ranks. Collective."""
    if dist.get_world_size() == 1:
        return {name: weight.cpu() for name, weight in hugging_face_weights(model, shape).items()}
    local = {_global_name(name, shape): value.detach().cpu() for name, value in model.named_parameters()}
    first = parallel_state.get_data_parallel_rank(with_context_parallel=True) == 0
    mine = (parallel_state.get_tensor_model_parallel_rank(), local) if first else None
    parts: list[tuple[int, State] | None] = [None] * dist.get_world_size()
    dist.gather_object(mine, parts if dist.get_rank() == 0 else None)
    if dist.get_rank() != 0:
        return None
    held = sorted((part for part in parts if part is not None), key=lambda part: part[0])
    names = dict.fromkeys(name for _, state in held for name in state)
    return {key: value for name in names for key, value in _hf_weights(name, _parts(name, held), shape).items()}


def _parts(name: str, held: list[tuple[int, State]]) -> list[Tensor]:
    """One part per tensor rank, in their order; with pipelines the tied embedding is held twice."""
    by_rank = {rank: state[name] for rank, state in held if name in state}
    return [by_rank[rank] for rank in sorted(by_rank)]


def _tensor_ranks() -> tuple[int, int]:
    return parallel_state.get_tensor_model_parallel_world_size(), parallel_state.get_tensor_model_parallel_rank()


def _global_name(name: str, shape: Architecture) -> str:
    """Megatron name with layers counted over all pipeline stages; the last stage's tied output is the embedding."""
    if name == "output_layer.weight":
        return "embedding.word_embeddings.weight"
    if not (found := _LAYER.fullmatch(name)):
        return name
    stages = parallel_state.get_pipeline_model_parallel_world_size()
    offset = parallel_state.get_pipeline_model_parallel_rank() * (shape.num_layers // stages)
    return f"decoder.layers.{int(found[1]) + offset}.{found[2]}"


def _hf(layer: int, name: str) -> str:
    return f"model.layers.{layer}.{name}.weight"


def _megatron_weight(name: str, shape: Architecture, read: ReadWeight, ranks: int, rank: int) -> Tensor:
    """One Megatron weight of one tensor rank."""

    def rows(weight: Tensor) -> Tensor:
        return weight.chunk(ranks, 0)[rank]

    if name == "embedding.word_embeddings.weight":
        padding = -shape.vocab_size % ranks
        return rows(functional.pad(read(EMBEDDING), (0, 0, 0, padding)))
    layer, kind = _layer_and_kind(name)
    if kind == "self_attention.linear_qkv.weight":
        query, key, value = (read(_hf(layer, f"self_attn.{part}_proj")) for part in "qkv")
        return rows(merge_qkv(query, key, value, shape))
    if kind == "self_attention.linear_proj.weight":
        return read(_hf(layer, "self_attn.o_proj")).chunk(ranks, 1)[rank]
    if kind == "mlp.linear_fc1.weight":
        return torch.cat([rows(read(_hf(layer, "mlp.gate_proj"))), rows(read(_hf(layer, "mlp.up_proj")))])
    assert kind == "mlp.linear_fc2.weight", name
    return read(_hf(layer, "mlp.down_proj")).chunk(ranks, 1)[rank]


def _hf_weights(name: str, parts: list[Tensor], shape: Architecture) -> State:
    """The Hugging Face weights that one Megatron weight holds; `parts` are those of the tensor ranks."""
    if name == "embedding.word_embeddings.weight":
        return {EMBEDDING: torch.cat(parts)[: shape.vocab_size]}
    layer, kind = _layer_and_kind(name)
    if kind == "self_attention.linear_qkv.weight":
        split = split_qkv(torch.cat(parts), shape)
        return {_hf(layer, f"self_attn.{part}_proj"): weight for part, weight in zip("qkv", split, strict=True)}
    if kind == "self_attention.linear_proj.weight":
        return {_hf(layer, "self_attn.o_proj"): torch.cat(parts, 1)}
    if kind == "mlp.linear_fc1.weight":
        gates, ups = zip(*(part.chunk(2) for part in parts), strict=True)
        return {_hf(layer, "mlp.gate_proj"): torch.cat(gates), _hf(layer, "mlp.up_proj"): torch.cat(ups)}
    assert kind == "mlp.linear_fc2.weight", name
    return {_hf(layer, "mlp.down_proj"): torch.cat(parts, 1)}


def _layer_and_kind(name: str) -> tuple[int, str]:
    found = _LAYER.fullmatch(name)
    assert found, f"unknown weight {name}"
    return int(found[1]), found[2]


def merge_qkv(query: Tensor, key: Tensor, value: Tensor, shape: Architecture) -> Tensor:
    """[(heads + 2 groups) · width, hidden] in Megatron's order: each group's query heads, then its key, its value."""
    groups, hidden = shape.num_query_groups, query.shape[1]
    parts = [part.reshape(groups, -1, hidden) for part in (query, key, value)]
    return torch.cat(parts, dim=1).reshape(-1, hidden)


def split_qkv(merged: Tensor, shape: Architecture) -> tuple[Tensor, Tensor, Tensor]:
    """Undo `merge_qkv`."""
    hidden, width = merged.shape[1], shape.head_size
    queries = shape.num_attention_heads // shape.num_query_groups * width
    grouped = merged.reshape(shape.num_query_groups, -1, hidden)
    query, key, value = (part.reshape(-1, hidden) for part in grouped.split([queries, width, width], dim=1))
    return query, key, value
