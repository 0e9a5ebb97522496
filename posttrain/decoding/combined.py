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
    rows_in: dict[int, list[int]] = {}
    for row, state in enumerate(states):
        rows_in.setdefault(state, []).append(row)
    for state, rows in rows_in.items():  # most rows are in the same state: outside any listed word
        tokens = method.automaton.penalised(state).to(logits.device)
        if len(tokens):
            logits[torch.tensor(rows, device=logits.device)[:, None], tokens] -= method.penalty
    return logits
