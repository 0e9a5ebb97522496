"""What the model computes at the last token of each text: the query heads' outputs, the residual stream after each
layer and the final hidden state.

One pass over the labelled texts serves every method and the probes (posttrain/shared.py keeps it). For a model of 1 B
parameters and 800 texts that is 210 MB, so arrays are written to and read from memory maps, one layer at a time.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from infra.atomic import atomic_path
from infra.errors import InputError
from posttrain.causal_model import CausalModel
from posttrain.layers import decoder_layers, stream_of

MAX_TOKENS = 1024  # where SASA's reference implementation cuts (Ko et al. 2025, arXiv 2410.03818)
FILE = "activations.safetensors"
_TOKENS_PER_BATCH = 8192

Floats = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True)
class Activations:
    """Activations at the last token of n texts, float32; layers first, so that one layer is read at a time.

    `heads` [layers, n, query heads, head_dim]: the slices of the attention output projection's input, that is each
    head's output before it is mixed with the others. Under grouped queries there is one slice per *query* head.
    `residual` [layers, n, hidden]: the residual stream after each layer. `hidden` [n, hidden]: the hidden state after
    the last norm.
    """

    heads: Floats
    residual: Floats
    hidden: Floats


class AtLastToken(NamedTuple):
    """Of one batch, float32, on the model's device: `hidden` [rows, hidden], `heads` [rows, layers, heads * head_dim],
    `residual` [rows, layers, hidden].
    """

    hidden: torch.Tensor
    heads: torch.Tensor
    residual: torch.Tensor


@torch.inference_mode()
def last_token(
    model: CausalModel,
    texts: Sequence[str],
    progress: Callable[[int], object] | None = None,
    max_tokens: int = MAX_TOKENS,
    scratch: Path | None = None,
    prefix: Sequence[int] = (),
) -> Activations:
    """Run every text (after the start token and `prefix`; the text cut after `max_tokens`, start token included) and
    keep what its last token computed, in memory, or in nameless files of the folder `scratch`.

    Batches are right-padded: under a causal mask no token sees what stands behind it, so padding cannot change the last
    real token. Raises InputError where the prefix leaves no room.
    """
    limit = min(max_tokens, model.max_positions - len(prefix)) - 1
    if limit < 1:
        raise InputError(f"a prefix of {len(prefix)} tokens fills the model's {model.max_positions} positions")
    rows = [[model.start, *prefix, *ids[:limit]] for ids in model.encode(list(texts))]
    layout = model.layout
    # N texts, L layers, Q query heads of D; H hidden size
    heads_LNQD = _room((layout.layers, len(rows), layout.heads, layout.head_dim), scratch)
    residual_LNH = _room((layout.layers, len(rows), layout.hidden), scratch)
    hidden_NH = _room((len(rows), layout.hidden), scratch)
    for batch in batches([len(row) for row in rows], _TOKENS_PER_BATCH):
        seen = at_last_token(model, [rows[index] for index in batch])
        hidden_NH[batch] = seen.hidden.cpu().numpy()
        heads_LNQD[:, batch] = seen.heads.transpose(0, 1).unflatten(-1, heads_LNQD.shape[2:]).cpu().numpy()
        residual_LNH[:, batch] = seen.residual.transpose(0, 1).cpu().numpy()
        if progress is not None:
            progress(len(batch))
    return Activations(heads_LNQD, residual_LNH, hidden_NH)


def _room(shape: tuple[int, ...], folder: Path | None) -> Floats:
    """An array to be filled. One on the disk costs no memory that the system cannot take back."""
    if folder is None:
        return np.empty(shape, dtype=np.float32)
    with tempfile.TemporaryFile(dir=folder) as file:  # has no name, so a killed process leaves nothing
        return np.memmap(file, dtype=np.float32, shape=shape)


def save_activations(folder: Path, activations: Activations) -> None:
    """Write `activations.safetensors`, atomically."""
    with atomic_path(folder / FILE) as temporary:
        save_file({name: torch.from_numpy(array) for name, array in vars(activations).items()}, temporary)


def load_activations(folder: Path) -> Activations:
    """Open `activations.safetensors` as memory maps: what is not read takes no memory."""
    return Activations(**{name: tensor.numpy() for name, tensor in load_file(folder / FILE).items()})


def at_last_token(model: CausalModel, rows: Sequence[Sequence[int]]) -> AtLastToken:
    """What one batch of token ids computes at its last tokens."""
    ids, last = right_padded(rows, model)
    inputs: list[torch.Tensor] = []
    residual: list[torch.Tensor] = []
    with _recording(model, last, inputs, residual):
        states = model.hidden(ids)
    hidden = states[torch.arange(len(rows), device=last.device), last]
    return AtLastToken(hidden.float(), torch.stack(inputs, 1).float(), torch.stack(residual, 1).float())


@contextmanager
def _recording(
    model: CausalModel, last: torch.Tensor, inputs: list[torch.Tensor], residual: list[torch.Tensor]
) -> Iterator[None]:
    """Append each output projection's input and each layer's output at position `last[row]`, layer by layer."""
    rows = torch.arange(len(last), device=last.device)

    def record_input(_: torch.nn.Module, arguments: tuple[torch.Tensor, ...]) -> None:
        inputs.append(arguments[0][rows, last])

    def record_output(_: torch.nn.Module, _arguments: Any, output: Any) -> None:
        residual.append(stream_of(output)[rows, last])

    with ExitStack() as stack:
        for module in model.outputs:
            stack.callback(module.register_forward_pre_hook(record_input).remove)
        for layer in decoder_layers(model):
            stack.callback(layer.register_forward_hook(record_output).remove)
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
