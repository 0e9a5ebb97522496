"""The modules of a layer: ours on PyTorch's kernels, or Transformer Engine's where it is installed."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as functional
from megatron.core.extensions.transformer_engine import (
    TEColumnParallelLinear,
    TERowParallelLinear,
)
from megatron.core.tensor_parallel import ColumnParallelLinear, RowParallelLinear
from megatron.core.transformer import TransformerConfig
from megatron.core.transformer.mlp import MLP
from torch import Tensor, nn

from infra.errors import ConfigError, Problem
from pretrain.model.architecture import LAYER_NORM_EPSILON
from pretrain.model.core_attention import TransformerEngineAttention, own_attention
from pretrain.model.projections import Float8Column, Float8Row, WholeColumn, WholeRow, check_float8
from pretrain.spec import Implementation


@dataclass(frozen=True)
class LayerModules:
    """Module classes of a layer: projections divided by columns and by rows, and attention."""

    column: type[nn.Module]
    row: type[nn.Module]
    attention: type[nn.Module]


def layer_modules(implementation: Implementation, config: TransformerConfig, *, float8: bool = False) -> LayerModules:
    """What a layer is built of. Raises ConfigError where Transformer Engine or fp8 is asked for and cannot be had."""
    if float8:
        check_float8(config.hidden_size, config.ffn_hidden_size, config.tensor_model_parallel_size)
        return LayerModules(Float8Column, Float8Row, own_attention(config))
    if uses_transformer_engine(implementation):
        return LayerModules(TEColumnParallelLinear, TERowParallelLinear, TransformerEngineAttention)
    attention = own_attention(config)
    if config.tensor_model_parallel_size == 1:
        return LayerModules(WholeColumn, WholeRow, attention)
    return LayerModules(ColumnParallelLinear, RowParallelLinear, attention)


def uses_transformer_engine(implementation: Implementation) -> bool:
    """Whether layers are Transformer Engine's; `auto` takes it where there is a GPU and it is installed."""
    missing = [] if torch.cuda.is_available() else ["GPU"]
    if importlib.util.find_spec("transformer_engine") is None:
        missing.append("package transformer-engine")
    if implementation == "transformer_engine" and missing:
        reason = f"there is no {' and no '.join(missing)} here"
        raise ConfigError([Problem("implementation", implementation, f"{reason}; say auto or local")])
    return implementation != "local" and not missing


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
        gradient = torch.empty_like(both)
        of_gate, of_up = gradient.chunk(2, -1)  # views, so that filling them fills the gradient
        torch.mul(opened, upstream, out=of_up)
        torch.ops.aten.silu_backward.grad_input(upstream * up, gate, grad_input=of_gate)
        return gradient
