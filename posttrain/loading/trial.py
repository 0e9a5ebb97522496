"""A trial run of a loaded model: what decoding makes of it must be what the network itself says."""

from __future__ import annotations

from typing import Any

import torch

from infra.errors import InputError, UnavailableError
from posttrain.causal_model import CausalModel
from posttrain.loading.configuration import by_layer_type, sliding_window

_LONG, _SHORT = 6, 3
_TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.1}  # mean difference over mean size; experts may change in bf16
_UNSUPPORTED = (AttributeError, IndexError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError)


@torch.inference_mode()
def check_causal(network: Any, location: str) -> None:
    """Raise InputError for a network that looks ahead: an encoder."""
    text = _text(network)
    if not _alike(network(input_ids=text).logits[:, :_SHORT], network(input_ids=text[:, :_SHORT]).logits):
        name = type(network).__name__
        raise InputError(f"{location}: {name} looks at what comes after a token: an encoder, not a causal model")


@torch.inference_mode()
def check_runs(model: CausalModel) -> None:
    """Compare a left-padded batch of two texts under four-dimensional masks with the network on a text alone.

    Raises UnavailableError for a network that takes no such masks or position ids, or whose logits are not what its
    own head makes of its hidden states.
    """
    name, text = type(model.network).__name__, _text(model.network)
    theirs = model.network(input_ids=text).logits
    try:
        ours = model.logits(model.hidden(**_padded_batch(model, text)))
    except _UNSUPPORTED as error:
        raise UnavailableError(f"{name}: cannot be decoded here ({str(error).partition(chr(10))[0]})") from None
    if not _alike(ours[:1], theirs) or not _alike(ours[1:, -_SHORT:], theirs[:, :_SHORT]):
        raise UnavailableError(f"{name}: decoding here gives other logits than the network itself; not supported")


def _text(network: Any) -> torch.Tensor:
    device = next(network.parameters()).device
    return torch.arange(_LONG, device=device)[None] % network.get_input_embeddings().weight.shape[0]


def _padded_batch(model: CausalModel, text: torch.Tensor) -> dict[str, Any]:
    """The text, and its beginning behind padding, as decoding hands them over."""
    padding = text.new_full((1, _LONG - _SHORT), model.end)
    is_text = torch.ones(2, _LONG, dtype=torch.bool, device=text.device)
    is_text[1, : _LONG - _SHORT] = False
    visible = torch.ones(_LONG, _LONG, dtype=torch.bool, device=text.device).tril() & is_text[:, None]
    dtype, config = model.network.dtype, model.network.config
    mask = torch.zeros(visible.shape, dtype=dtype, device=text.device).masked_fill_(~visible, torch.finfo(dtype).min)
    mask = mask[:, None]
    return {
        "ids": torch.cat([text, torch.cat([padding, text[:, :_SHORT]], 1)]),
        "attention_mask": by_layer_type(mask, config) if sliding_window(config) else mask,
        "position_ids": (is_text.cumsum(-1) - 1).clamp(min=0),
    }


def _alike(ours: torch.Tensor, theirs: torch.Tensor) -> bool:
    difference = (ours.float() - theirs.float()).abs().mean()
    return bool(difference <= _TOLERANCE.get(theirs.dtype, 0.1) * theirs.float().abs().mean().clamp(min=1e-6))
