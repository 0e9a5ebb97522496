"""The logits of a stack before candidates are looked at: the passes' weighted sum, less the penalties."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from posttrain.methods.base import Method
from posttrain.stack import Stack


def combined(stack: Stack, own: torch.Tensor, added: Sequence[torch.Tensor]) -> torch.Tensor:
    """`own` [rows, vocabulary] by its weight, plus the logits of each stream by the stream's."""
    logits = own if stack.own_weight == 1 else stack.own_weight * own
    for stream, theirs in zip(stack.streams, added, strict=True):
        logits = logits + stream.weight * theirs
    return logits


def penalised(method: Method, states: Sequence[int], logits: torch.Tensor) -> torch.Tensor:
    """`logits` [rows, vocabulary], changed in place: less the penalty where the automaton's state of a row says so."""
    assert method.automaton is not None
    if len(set(states)) == 1:  # as with a single row, where every operation counts
        tokens = method.automaton.penalised(states[0])
        return logits.index_add_(-1, tokens, logits.new_full((1, 1), -method.penalty).expand(len(states), len(tokens)))
    rows = [method.automaton.penalised(state) for state in states]
    counts = torch.tensor([len(tokens) for tokens in rows], device=logits.device)
    first = torch.arange(len(rows), device=logits.device) * logits.shape[-1]
    # One addition for all rows, whatever their states: three times as fast as `logits[rows, tokens] -= penalty`.
    at = torch.cat(rows) + first.repeat_interleave(counts, output_size=sum(map(len, rows)))
    return logits.put_(at, logits.new_full((1,), -method.penalty).expand(len(at)), accumulate=True)
