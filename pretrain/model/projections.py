"""Projections whose weights no other rank shares, as one matrix product each, in the model's precision or in fp8.

Megatron's own go through a function that also serves divided weights; torch.compile breaks a layer's graph at it, and
norms, rotary positions and SwiGLU are then no longer fused across projections. Names, shapes and checkpoints stay
Megatron's.
"""

from __future__ import annotations

import functools
import importlib.util
import logging
from typing import Any

import torch
import torch.nn.functional as functional
from megatron.core.tensor_parallel import ColumnParallelLinear, RowParallelLinear
from torch import Tensor

from infra.errors import ConfigError, Problem

FP8_MULTIPLE = 16
"""What cuBLAS asks of every side of an fp8 product."""


class Whole:
    """Mixed into Megatron's projections: a plain product."""

    def _forward_impl(self, input: Tensor, weight: Tensor, **_: Any) -> Tensor:
        """[..., in] and [out, in] to [..., out]; what else Megatron hands over is for divided weights."""
        return functional.linear(input, weight)


class Float8:
    """Mixed into Megatron's projections: inputs and weights as e4m3, gradients as e5m2, each scaled by its largest
    value (torchao's tensorwise recipe), so that all three products of a projection run in fp8.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.multiply, self.settings = _float8()  # here, as a compiler cannot look into an import

    def _forward_impl(self, input: Tensor, weight: Tensor, **_: Any) -> Tensor:
        """As `Whole`."""
        output: Tensor = self.multiply.apply(input, weight.t(), *self.settings)
        return output


class WholeColumn(Whole, ColumnParallelLinear):
    """A projection that Megatron would divide by columns."""


class WholeRow(Whole, RowParallelLinear):
    """A projection that Megatron would divide by rows."""


class Float8Column(Float8, ColumnParallelLinear):
    """`WholeColumn` in fp8."""


class Float8Row(Float8, RowParallelLinear):
    """`WholeRow` in fp8."""


@functools.cache
def _float8() -> tuple[Any, tuple[Any, Any]]:
    """torchao's product and its settings; emulated where there is no GPU."""
    logging.getLogger("torchao").setLevel(logging.ERROR)  # it warns of kernels that this does not use
    from torchao.float8.config import Float8LinearConfig
    from torchao.float8.float8_linear import matmul_with_hp_or_float8_args
    from torchao.float8.float8_training_tensor import LinearMMConfig, ScaledMMConfig

    config = Float8LinearConfig(emulate=not torch.cuda.is_available())
    products = (config.gemm_config_output, config.gemm_config_grad_input, config.gemm_config_grad_weight)
    modes = [ScaledMMConfig(config.emulate, one.use_fast_accum, False, config.pad_inner_dim) for one in products]
    return matmul_with_hp_or_float8_args, (LinearMMConfig(*modes), config)


def check_float8(hidden_size: int, ffn_hidden_size: int, tensor_ranks: int) -> None:
    """Raises ConfigError where fp8 cannot be had: no torchao, an older GPU, sizes or a division that it does not do."""
    if importlib.util.find_spec("torchao") is None:
        reason = "needs the package torchao (pip install 'hormesis[fp8]')"
    elif torch.cuda.is_available() and torch.cuda.get_device_capability() < (8, 9):
        reason = f"needs a GPU with fp8 products (H100, H200, L40S, L4), not an {torch.cuda.get_device_name()}"
    elif tensor_ranks > 1:
        reason = "does not go with parallel.tensor above 1"
    elif hidden_size % FP8_MULTIPLE or ffn_hidden_size % FP8_MULTIPLE:
        reason = f"needs widths that are multiples of {FP8_MULTIPLE}, not {hidden_size} and {ffn_hidden_size}"
    else:
        return
    raise ConfigError([Problem("precision", "fp8", f"{reason}; say bf16")])
