"""A network's decoder layers, found without knowing its architecture by name, and edits of what passes through."""

from __future__ import annotations

from typing import Any

import torch

from infra.errors import UnavailableError
from posttrain.causal_model import CausalModel


def decoder_layers(model: CausalModel) -> tuple[torch.nn.Module, ...]:
    """The layers, whose outputs are the residual stream: the list of modules of which each holds one attention.

    Raises UnavailableError where there is none.
    """
    lists = [module for module in model.network.base_model.modules() if isinstance(module, torch.nn.ModuleList)]
    for layers in lists:
        if len(layers) == len(model.outputs) and all(map(_holds, layers, model.outputs)):
            return tuple(layers)
    raise UnavailableError(f"{type(model.network).__name__}: its decoder layers were not found; not supported")


def _holds(layer: torch.nn.Module, output: torch.nn.Module) -> bool:
    return any(module is output for module in layer.modules())


def stream_of(output: Any) -> torch.Tensor:
    """The residual stream [rows, positions, hidden] in what a layer returns: it, or a tuple that begins with it."""
    stream: torch.Tensor = output[0] if isinstance(output, tuple) else output
    return stream


def with_stream(output: Any, stream: torch.Tensor) -> Any:
    """What a layer returned, with another residual stream."""
    return (stream, *output[1:]) if isinstance(output, tuple) else stream


def moved(states: torch.Tensor, offset: torch.Tensor, everywhere: bool) -> torch.Tensor:
    """`states` [rows, positions, width] with `offset` [width] added at the last position, or at all of them."""
    if everywhere or states.shape[1] == 1:  # one position in a decoding step behind the cache
        return states + offset
    edited = states.clone()
    edited[:, -1] += offset
    return edited
