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
    vocab_size: int,
    logits: LogitsMemory,
    *,
    sequence_parallel: bool,
    compiled: bool = False,
) -> Tensor:
    """Cross-entropy of every target in nats, fp32 [batch, sequence].

    `hidden` [sequence, batch, hidden], this tensor rank's part of the sequence with `sequence_parallel`; `weight` this
    rank's rows of the head, of which those of token `vocab_size` and above are padding and get no probability;
    `targets` [batch, sequence] int64.
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
    rank_targets = targets.transpose(0, 1).reshape(-1) - first
    nats = HeadCrossEntropy.apply(
        hidden.flatten(0, 1), weight, rank_targets, vocab_size - first, rows, recompute, compiled
    )
    return nats.view(targets.shape[1], targets.shape[0]).transpose(0, 1)


class HeadCrossEntropy(torch.autograd.Function):
    """`apply(hidden, weight, targets, vocab_size, rows, recompute, compiled)`: cross-entropy per token over tensor
    ranks, fp32 [tokens].

    `hidden` [tokens, hidden]; `weight` [this rank's vocabulary, hidden], of which rows from `vocab_size` on are
    padding; `targets` [tokens] counted from this rank's first row; `rows` tokens make a chunk; with `recompute` logits
    are not held for the backward pass; with `compiled` the passes over them are compiled. The gradient of `hidden` is
    this rank's part of the sum. Backward runs once.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        targets: Tensor,
        vocab_size: int,
        rows: int,
        recompute: bool,
        compiled: bool = False,
    ) -> Tensor:
        """Two collectives of a chunk's tokens where the vocabulary is divided: their maximum, then their sums."""
        held = None if recompute else _logits(hidden, weight, vocab_size)
        log_sum_exp = _compiled(_log_sum_exp) if compiled else _log_sum_exp
        log_total, nats = torch.empty(2, len(hidden), device=hidden.device)
        divided = parallel_state.get_tensor_model_parallel_world_size() > 1
        for chunk in _chunks(len(hidden), rows):
            logits = _logits(hidden[chunk], weight, vocab_size) if held is None else held[chunk]
            is_local, row = _local_rows(targets[chunk], len(weight))
            target_logit = logits.gather(1, row[:, None])[:, 0].float()
            if divided:
                log_total[chunk], target_logit = _over_ranks(logits.float(), target_logit.masked_fill(~is_local, 0.0))
            else:
                log_total[chunk] = log_sum_exp(logits)
            nats[chunk] = log_total[chunk] - target_logit
        ctx.save_for_backward(hidden, weight, targets, log_total)
        ctx.vocab_size, ctx.rows, ctx.held, ctx.compiled = vocab_size, rows, held, compiled
        return nats

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        """Softmax minus one at the target, times `upstream`, fp32 [tokens].

        That is the gradient of the logits; it is written over them, so that they need no second tensor of their size.
        """
        hidden, weight, targets, log_total = ctx.saved_tensors
        held, ctx.held = ctx.held, None
        to_gradient = _compiled(_to_gradient) if ctx.compiled else _to_gradient
        of_hidden, of_weight = torch.empty_like(hidden), None
        for chunk in _chunks(len(hidden), ctx.rows):
            logits = _logits(hidden[chunk], weight, ctx.vocab_size) if held is None else held[chunk]
            to_gradient(logits, log_total[chunk], upstream[chunk], *_local_rows(targets[chunk], len(weight)))
            if held is None:
                torch.mm(logits, weight, out=of_hidden[chunk])
                product = logits.t() @ hidden[chunk]
                of_weight = product.float() if of_weight is None else of_weight.add_(product)
        if held is not None:
            torch.mm(held, weight, out=of_hidden)
            of_weight = held.t() @ hidden
        return of_hidden, None if of_weight is None else of_weight.to(weight.dtype), None, None, None, None, None


def _log_sum_exp(logits: Tensor) -> Tensor:
    """In fp32, of [tokens, vocabulary]: [tokens]."""
    return torch.logsumexp(logits.float(), 1)


def _to_gradient(logits: Tensor, log_total: Tensor, upstream: Tensor, is_local: Tensor, row: Tensor) -> None:
    """Write the loss' gradient over the logits [tokens, vocabulary] that it is of; the rest is [tokens].

    The target's entry is computed apart, so that in half precision it is rounded once; and it is written by index,
    since scatter_add_ has no fixed order on a GPU.
    """
    token = torch.arange(len(logits), device=logits.device)
    of_target = (logits[token, row].float() - log_total).exp() * upstream - upstream.masked_fill(~is_local, 0.0)
    share = logits.float().sub_(log_total[:, None]).exp_().mul_(upstream[:, None])
    if share is not logits:  # in half precision
        logits.copy_(share)
    logits[token, row] = of_target.to(logits.dtype)


@functools.cache
def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    return torch.compile(function)


def _chunks(tokens: int, rows: int) -> Iterator[slice]:
    yield from (slice(start, start + rows) for start in range(0, tokens, rows))


def _logits(hidden: Tensor, weight: Tensor, vocab_size: int) -> Tensor:
    """[tokens, this rank's vocabulary]; −∞ at the padding, of which a rank may have nothing else."""
    logits = functional.linear(hidden, weight)
    if vocab_size < len(weight):
        logits[:, max(vocab_size, 0) :] = -math.inf
    return logits


def _local_rows(targets: Tensor, rows: int) -> tuple[Tensor, Tensor]:
    """Whether a target is of this rank's vocabulary, and its row, 0 for the others; both [tokens]."""
    is_local = (targets >= 0) & (targets < rows)
    return is_local, targets.masked_fill(~is_local, 0)


def _over_ranks(logits: Tensor, target_logit: Tensor) -> tuple[Tensor, Tensor]:
    """Logarithm of the sum of exponentials over all tensor ranks, and the target's logit from the rank that has it,
    both [tokens]. The maximum is taken out first, so that no exponential overflows.
    """
    group = parallel_state.get_tensor_model_parallel_group()
    largest = logits.amax(1)
    dist.all_reduce(largest, dist.ReduceOp.MAX, group=group)
    sums = torch.stack([logits.sub(largest[:, None]).exp_().sum(1), target_logit])
    dist.all_reduce(sums, group=group)
    return largest + sums[0].log(), sums[1]
