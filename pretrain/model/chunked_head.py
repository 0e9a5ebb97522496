"""Head and cross-entropy in one, a chunk of tokens at a time.

PyTorch's own cross-entropy holds three tensors as large as the logits, in fp32: 10 GB for 8 × 2,048 tokens and a
vocabulary of 50,304. Here the logits are held once, in the model's precision, and turned into their gradient in
place; or not at all, and then computed again for the backward pass (one more product with the embedding, 3 % of an
OLMo-1B step). Each chunk is small enough to be in a cache while it is worked on; compiled, held logits need no chunks,
as each pass over them is one kernel that keeps nothing in fp32. What comes out is a cross-entropy per token, so loss
policies do not change.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as functional
from megatron.core import parallel_state
from megatron.core.tensor_parallel import copy_to_tensor_model_parallel_region, gather_from_sequence_parallel_region
from torch import Tensor

from pretrain.spec import LOGITS_AT_ONCE, LogitsMemory, recomputes_logits

_IN_CACHE = 2**20  # logits of a chunk on a CPU: 4 MiB


def cross_entropy_of(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    vocabulary: int,
    logits: LogitsMemory,
    *,
    sequence_parallel: bool,
    compiled: bool = False,
) -> Tensor:
    """Cross-entropy of every target in nats, fp32 [batch, sequence].

    `hidden` [sequence, batch, hidden], this tensor rank's part of the sequence with `sequence_parallel`; `weight` this
    rank's rows of the head, of which those from `vocabulary` on are padding and get no probability; `targets` [batch,
    sequence] int64.
    """
    if sequence_parallel:
        hidden = gather_from_sequence_parallel_region(hidden, tensor_parallel_output_grad=True)
    else:
        hidden = copy_to_tensor_model_parallel_region(hidden)
    first = parallel_state.get_tensor_model_parallel_rank() * len(weight)
    recompute = recomputes_logits(logits, targets.numel() * len(weight) * weight.itemsize)
    if compiled and not recompute:
        rows = targets.numel()
    else:
        rows = max((LOGITS_AT_ONCE if hidden.is_cuda or recompute else _IN_CACHE) // len(weight), 1)
    own_targets = targets.transpose(0, 1).reshape(-1) - first
    nats = HeadCrossEntropy.apply(
        hidden.flatten(0, 1), weight, own_targets, vocabulary - first, rows, recompute, compiled
    )
    return nats.view(targets.shape[1], targets.shape[0]).transpose(0, 1)


class HeadCrossEntropy(torch.autograd.Function):
    """`apply(hidden, weight, targets, real, rows, recompute, compiled)`: cross-entropy per token over tensor ranks,
    fp32 [tokens].

    `hidden` [tokens, hidden]; `weight` [this rank's vocabulary, hidden], of which the first `real` rows are no padding;
    `targets` [tokens] counted from this rank's first row; `rows` tokens make a chunk; with `recompute` logits are not
    held for the backward pass; with `compiled` the passes over them are compiled. The gradient of `hidden` is this
    rank's part of the sum. Backward runs once.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        targets: Tensor,
        real: int,
        rows: int,
        recompute: bool,
        compiled: bool = False,
    ) -> Tensor:
        """Two collectives of a chunk's tokens where the vocabulary is divided: their maximum, then their sums."""
        held = None if recompute else _logits(hidden, weight, real)
        log_sum_exp = _compiled(_log_sum_exp) if compiled else _log_sum_exp
        log_total, nats = torch.empty(2, len(hidden), device=hidden.device)
        divided = parallel_state.get_tensor_model_parallel_world_size() > 1
        for part in _chunks(len(hidden), rows):
            logits = _logits(hidden[part], weight, real) if held is None else held[part]
            here, at = _place(targets[part], len(weight))
            own = logits.gather(1, at[:, None])[:, 0].float()
            if divided:
                log_total[part], own = _over_ranks(logits.float(), own.masked_fill(~here, 0.0))
            else:
                log_total[part] = log_sum_exp(logits)
            nats[part] = log_total[part] - own
        ctx.save_for_backward(hidden, weight, targets, log_total)
        ctx.real, ctx.rows, ctx.held, ctx.compiled = real, rows, held, compiled
        return nats

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        """Softmax minus one at the target, times what comes from above."""
        hidden, weight, targets, log_total = ctx.saved_tensors
        held, ctx.held = ctx.held, None
        to_gradient = _compiled(_to_gradient) if ctx.compiled else _to_gradient
        of_hidden, of_weight = torch.empty_like(hidden), None
        for part in _chunks(len(hidden), ctx.rows):
            logits = _logits(hidden[part], weight, ctx.real) if held is None else held[part]
            to_gradient(logits, log_total[part], upstream[part], *_place(targets[part], len(weight)))
            if held is None:
                torch.mm(logits, weight, out=of_hidden[part])
                product = logits.t() @ hidden[part]
                of_weight = product.float() if of_weight is None else of_weight.add_(product)
        if held is not None:
            torch.mm(held, weight, out=of_hidden)
            of_weight = held.t() @ hidden
        return of_hidden, None if of_weight is None else of_weight.to(weight.dtype), None, None, None, None, None


def _log_sum_exp(logits: Tensor) -> Tensor:
    """In fp32, of [tokens, vocabulary]: [tokens]."""
    return torch.logsumexp(logits.float(), 1)


def _to_gradient(logits: Tensor, log_total: Tensor, upstream: Tensor, here: Tensor, at: Tensor) -> None:
    """Write the loss' gradient over the logits [tokens, vocabulary] that it is of; the rest is [tokens].

    The target's entry is computed apart, so that in half precision it is rounded once; and it is written by index,
    since scatter_add_ has no fixed order on a GPU.
    """
    token = torch.arange(len(logits), device=logits.device)
    of_target = (logits[token, at].float() - log_total).exp() * upstream - upstream.masked_fill(~here, 0.0)
    share = logits.float().sub_(log_total[:, None]).exp_().mul_(upstream[:, None])
    if share is not logits:  # in half precision
        logits.copy_(share)
    logits[token, at] = of_target.to(logits.dtype)


@functools.cache
def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    return torch.compile(function)


def _chunks(tokens: int, rows: int) -> Iterator[slice]:
    yield from (slice(start, start + rows) for start in range(0, tokens, rows))


def _logits(hidden: Tensor, weight: Tensor, real: int) -> Tensor:
    logits = functional.linear(hidden, weight)
    if real < len(weight):
        logits[:, max(real, 0) :] = -math.inf
    return logits


def _place(targets: Tensor, rows: int) -> tuple[Tensor, Tensor]:
    """Which targets are of this rank's vocabulary, and their rows, 0 for the others."""
    here = (targets >= 0) & (targets < rows)
    return here, targets.masked_fill(~here, 0)


def _over_ranks(logits: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
    """Logarithm of the sum of exponentials over all tensor ranks, and the target's logit from the rank that has it."""
    group = parallel_state.get_tensor_model_parallel_group()
    largest = logits.amax(1)
    dist.all_reduce(largest, dist.ReduceOp.MAX, group=group)
    sums = torch.stack([logits.sub(largest[:, None]).exp_().sum(1), own])
    dist.all_reduce(sums, group=group)
    return largest + sums[0].log(), sums[1]
