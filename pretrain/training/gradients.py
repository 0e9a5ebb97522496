"""What happens to gradients between the backward pass and the update, on the device alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from megatron.core import parallel_state
from megatron.core.distributed import finalize_model_grads
from torch import Tensor

from pretrain.runtime.device import current_device


def finalize_gradients(model: list[Any], denominator: Tensor, **groups: Any) -> None:
    """Sum gradients over all ranks and divide them by the global denominator, an int tensor []. Collective.

    Megatron's own asks the host whether there is anything to divide by, which waits for the whole backward pass; here
    0 divides nothing, as there.
    """
    finalize_model_grads(model, None, **groups)  # None: all but its division
    last = parallel_state.get_pipeline_model_parallel_last_rank()
    dist.broadcast(denominator, src=last, group=parallel_state.get_pipeline_model_parallel_group())
    dist.all_reduce(denominator, group=parallel_state.get_data_parallel_group(with_context_parallel=True))
    for module in model:
        module.scale_gradients(1.0 / denominator.clamp(min=1))


def global_norm(gradients: Sequence[Tensor], group: dist.ProcessGroup | None) -> Tensor:
    """Norm of the vector that all gradients of all ranks of the group make up, fp32 []. Collective.

    Megatron's own, without Apex, fetches the norm of every weight by itself.
    """
    # a rank whose share of the optimizer is empty still takes part, with a zero on its own device
    norm = torch.nn.utils.get_total_norm(gradients or [torch.zeros((), device=current_device())]).float()
    if dist.get_world_size(group) == 1:
        return norm
    squared = norm.square()
    dist.all_reduce(squared, group=group)
    return squared.sqrt()
