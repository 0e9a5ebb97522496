"""The parts of a layer: ours on PyTorch's kernels, or Transformer Engine's where it is installed."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as functional
from megatron.core.extensions.transformer_engine import (
    TEColumnParallelLinear,
    TEDotProductAttention,
    TERowParallelLinear,
)
from megatron.core.tensor_parallel import ColumnParallelLinear, RowParallelLinear
from megatron.core.transformer import TransformerConfig
from megatron.core.transformer.enums import AttnMaskType
from megatron.core.transformer.mlp import MLP
from torch import Tensor, nn

from infra.errors import ConfigError, Problem
from pretrain.model.architecture import LAYER_NORM_EPSILON
from pretrain.model.attention import causal, within_documents
from pretrain.model.context_parallel import ContextParallelAttention, CoreAttention
from pretrain.model.projections import Float8Column, Float8Row, WholeColumn, WholeRow, check_float8
from pretrain.spec import Implementation


@dataclass(frozen=True)
class LayerParts:
    """Module classes of a layer: projections divided by columns and by rows, and attention."""

    column: type[nn.Module]
    row: type[nn.Module]
    attention: type[nn.Module]


def layer_parts(implementation: Implementation, config: TransformerConfig, *, float8: bool = False) -> LayerParts:
    """What a layer is built of. Raises ConfigError where Transformer Engine or fp8 is asked for and cannot be had."""
    if float8:
        check_float8(config.hidden_size, config.ffn_hidden_size, config.tensor_model_parallel_size)
        return LayerParts(Float8Column, Float8Row, _own_attention(config.context_parallel_size))
    if uses_transformer_engine(implementation):
        return LayerParts(TEColumnParallelLinear, TERowParallelLinear, TransformerEngineAttention)
    attention = _own_attention(config.context_parallel_size)
    if config.tensor_model_parallel_size == 1:
        return LayerParts(WholeColumn, WholeRow, attention)
    return LayerParts(ColumnParallelLinear, RowParallelLinear, attention)


def uses_transformer_engine(implementation: Implementation) -> bool:
    """Whether layers are Transformer Engine's; `auto` takes it where there is a GPU and it is installed."""
    missing = [name for name, there in (
        ("a GPU", torch.cuda.is_available()),
        ("the package transformer-engine", importlib.util.find_spec("transformer_engine") is not None),
    ) if not there]  # fmt: skip
    if implementation == "transformer_engine" and missing:
        said = f"there is no {' and no '.join(each.removeprefix('a ') for each in missing)} here"
        raise ConfigError([Problem("implementation", implementation, f"{said}; say auto or local")])
    return implementation != "local" and not missing


def _own_attention(context_ranks: int) -> type[nn.Module]:
    return ScaledDotProductAttention if context_ranks == 1 else ContextParallelAttention


class NonParametricLayerNorm(nn.LayerNorm):
    """LayerNorm without weight and bias; PyTorch's kernels compute it in fp32, as transformers' OlmoLayerNorm does."""

    def __init__(self, config: TransformerConfig, hidden_size: int, eps: float = LAYER_NORM_EPSILON, **_: Any) -> None:
        super().__init__(hidden_size, eps=eps, elementwise_affine=False)


class SwigluMlp(MLP):
    """Megatron's feed-forward layer, whose gate takes half the passes over memory."""

    def forward(self, hidden_states: Tensor, **_: Any) -> tuple[Tensor, Tensor | None]:
        """[sequence, batch, hidden] to the same, and no bias; what else Megatron hands over is for experts."""
        both, _ = self.linear_fc1(hidden_states)
        output: tuple[Tensor, Tensor | None] = self.linear_fc2(swiglu(both))
        return output


def swiglu(both: Tensor) -> Tensor:
    """silu(gate) · up of [..., gate and up side by side]; a compiler fuses it by itself, forward and backward."""
    if torch.compiler.is_compiling():
        gate, up = both.chunk(2, -1)
        return functional.silu(gate) * up
    opened: Tensor = Swiglu.apply(both)
    return opened


class Swiglu(torch.autograd.Function):
    """`swiglu` with fewer passes over memory than autograd makes."""

    @staticmethod
    def forward(ctx: Any, both: Tensor) -> Tensor:
        """[..., 2 · width] to [..., width]."""
        gate, up = both.chunk(2, -1)
        opened = functional.silu(gate)
        ctx.save_for_backward(both, opened)
        return opened * up

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Tensor:
        """Both halves are written where they belong, which autograd would do by a copy."""
        both, opened = ctx.saved_tensors
        gate, up = both.chunk(2, -1)
        found = torch.empty_like(both)
        of_gate, of_up = found.chunk(2, -1)
        torch.mul(opened, upstream, out=of_up)
        torch.ops.aten.silu_backward.grad_input(upstream * up, gate, grad_input=of_gate)
        return found


class ScaledDotProductAttention(CoreAttention):
    """Causal core attention on PyTorch's fused kernels, which pick flash attention where there is one."""

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None = None, **_: Any
    ) -> Tensor:
        """Attend; query is [sequence, batch, heads, width], the result [sequence, batch, heads × width].

        What Megatron hands on as `attention_mask` is the document of each token, int [batch, sequence], where
        attention begins anew at each document; None: a token sees all before it.
        """
        query, key, value = (part.permute(1, 2, 0, 3) for part in (query, key, value))
        if attention_mask is None:
            attended = causal(query, key, value)
        else:
            attended = within_documents(query, key, value, attention_mask)
        return attended.permute(2, 0, 1, 3).flatten(2)


class TransformerEngineAttention(nn.Module):
    """Transformer Engine's causal attention; ours for batches in which documents are kept apart.

    Not run so far: no machine with a GPU and Transformer Engine was at hand.
    """

    def __init__(self, config: TransformerConfig, layer_number: int, attn_mask_type: AttnMaskType, **rest: Any) -> None:
        super().__init__()

        self.causal = TEDotProductAttention(config, layer_number, attn_mask_type, **rest)
        self.within_documents = _own_attention(config.context_parallel_size)(config, layer_number, attn_mask_type)

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None = None, **_: Any
    ) -> Tensor:
        """As `ScaledDotProductAttention.forward`."""
        if attention_mask is None:
            attended: Tensor = self.causal(query, key, value, None, AttnMaskType.causal)
        else:
            attended = self.within_documents(query, key, value, attention_mask)
        return attended
