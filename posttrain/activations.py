"""What the model computes at the last token of each text: the query heads' outputs and the final hidden state."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from posttrain.model import CausalModel

_TOKENS_PER_BATCH = 8192


@dataclass(frozen=True)
class LastToken:
    """Activations at the last token of n texts.

    `heads` [n, layers, query heads, head_dim]: the slices of the attention output projection's input, that is each
    head's output before it is mixed with the others. Under grouped queries there is one slice per *query* head.
    `hidden` [n, hidden]: the hidden state after the last norm. Both float32.
    """

    heads: np.ndarray[Any, np.dtype[np.float32]]
    hidden: np.ndarray[Any, np.dtype[np.float32]]


@torch.inference_mode()
def last_token(
    model: CausalModel, texts: Sequence[str], progress: Callable[[int], object] | None = None, max_tokens: int = 1024
) -> LastToken:
    """Run every text (after the start token, cut after `max_tokens`) and keep what its last token computed.

    1,024 is where SASA's reference implementation cuts (Ko et al. 2025, arXiv 2410.03818). Batches are right-padded:
    under a causal mask no token sees what stands behind it, so padding cannot change the last real token.
    """
    limit = min(max_tokens, model.max_positions) - 1
    rows = [[model.start, *ids[:limit]] for ids in model.encode(list(texts))]
    layout = model.layout
    # N texts, L layers, Q query heads of D; H hidden size
    heads_NLQD = np.empty((len(rows), layout.layers, layout.heads, layout.head_dim), dtype=np.float32)
    hidden_NH = np.empty((len(rows), layout.hidden), dtype=np.float32)
    for batch in batches([len(row) for row in rows], _TOKENS_PER_BATCH):
        states, inputs = at_last_token(model, [rows[index] for index in batch])
        hidden_NH[batch] = states.cpu().numpy()
        heads_NLQD[batch] = inputs.cpu().numpy().reshape(len(batch), layout.layers, layout.heads, layout.head_dim)
        if progress is not None:
            progress(len(batch))
    return LastToken(heads_NLQD, hidden_NH)


def at_last_token(model: CausalModel, rows: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Final hidden state [rows, hidden] and output projections' inputs [rows, layers, heads * head_dim] of one batch.

    Both float32, on the model's device.
    """
    ids, last = right_padded(rows, model)
    inputs: list[torch.Tensor] = []
    with _recording(model, last, inputs):
        states = model.hidden(ids)
    return states[torch.arange(len(rows), device=last.device), last].float(), torch.stack(inputs, 1).float()


@contextmanager
def _recording(model: CausalModel, last: torch.Tensor, inputs: list[torch.Tensor]) -> Iterator[None]:
    """Append each output projection's input at position `last[row]`, layer by layer."""
    rows = torch.arange(len(last), device=last.device)

    def record(_: torch.nn.Module, arguments: tuple[torch.Tensor, ...]) -> None:
        inputs.append(arguments[0][rows, last])

    with ExitStack() as stack:
        for module in model.outputs:
            stack.callback(module.register_forward_pre_hook(record).remove)
        yield


def batches(lengths: Sequence[int], tokens: int) -> list[list[int]]:
    """Indices in batches of alike lengths, each at most `tokens` padded tokens (a longer text is a batch by itself)."""
    out: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        if out and lengths[index] * (len(out[-1]) + 1) <= tokens:
            out[-1].append(index)
        else:
            out.append([index])
    return out


def right_padded(rows: Sequence[Sequence[int]], model: CausalModel) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids [rows, longest] and the index of each row's last real token."""
    width = max(len(row) for row in rows)
    ids = torch.tensor([[*row, *[model.end] * (width - len(row))] for row in rows], device=model.device)
    return ids, torch.tensor([len(row) - 1 for row in rows], device=model.device)
