"""A trial run of a loaded model: what decoding makes of it must be what the network itself says."""

from __future__ import annotations

from typing import Any

import torch
from transformers.cache_utils import DynamicCache

from infra.errors import InputError, UnavailableError
from posttrain.causal_model import CausalModel
from posttrain.loading.configuration import by_layer_type, sliding_window

_LONG, _SHORT, _CANDIDATES = 5, 3, 2  # tokens
_TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.1}  # mean difference over mean size; experts may change in bf16
_UNSUPPORTED = (AttributeError, IndexError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError)


@torch.inference_mode()
def check_causal(network: Any, location: str) -> None:
    """Raise InputError for a network that looks ahead (an encoder), or that its configuration lets not run at all."""
    text, name = _text(network), type(network).__name__
    try:
        whole, beginning = network(input_ids=text).logits, network(input_ids=text[:, :_SHORT]).logits
    except _UNSUPPORTED as error:
        raise InputError(f"{location}: {name} does not run ({_first_line(error)})") from None
    if not _alike(whole[:, :_SHORT], beginning):
        raise InputError(f"{location}: {name} looks at what comes after a token: an encoder, not a causal model")


@torch.inference_mode()
def check_runs(model: CausalModel) -> None:
    """Compare candidates behind two texts, one of them padded on the left, with the network on each text alone.

    Raises UnavailableError for a network that takes no masks of four dimensions, counts positions by where a token
    stands in the cache (ALiBi), or whose logits are not what its own head makes of its hidden states.
    """
    name, network = type(model.network).__name__, model.network
    text, candidates = _text(network).split([_LONG, _CANDIDATES], 1)
    theirs = [_after(network, text[:, :length], candidates) for length in (_LONG, _SHORT)]
    try:
        ours = _decoded(model, text, candidates)
    except _UNSUPPORTED as error:
        raise UnavailableError(f"{name}: cannot be decoded here ({_first_line(error)})") from None
    if not _alike(ours, torch.stack(theirs)):
        raise UnavailableError(f"{name}: decoding here gives other logits than the network itself; not supported")


@torch.inference_mode()
def has_bare_head(model: CausalModel) -> bool:
    """Whether the output embedding alone gives the logits of the network's own head, to the bit."""
    hidden = torch.linspace(-8, 8, model.layout.hidden, device=model.device, dtype=model.network.dtype)[None]
    return torch.equal(model.network.get_output_embeddings()(hidden).float(), model.logits(hidden))


def _text(network: Any) -> torch.Tensor:
    device = next(network.parameters()).device
    return torch.arange(_LONG + _CANDIDATES, device=device)[None] % network.get_input_embeddings().weight.shape[0]


def _after(network: Any, text: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
    """Logits [candidates, vocabulary] after the text and each candidate, from the network as it is."""
    rows = torch.cat([text.expand(candidates.shape[1], -1), candidates.T], 1)
    return network(input_ids=rows).logits[:, -1]


def _decoded(model: CausalModel, text: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
    """The same for the text and for its beginning behind padding, [2, candidates, vocabulary], as decoding does it."""
    padding = text.new_full((1, _LONG - _SHORT), model.end)
    is_text = torch.ones(2, _LONG, dtype=torch.bool, device=text.device)
    is_text[1, : _LONG - _SHORT] = False
    causal = torch.ones(_LONG, _LONG, dtype=torch.bool, device=text.device).tril()
    cache = {"past_key_values": DynamicCache(), "use_cache": True}
    ids = torch.cat([text, torch.cat([padding, text[:, :_SHORT]], 1)])
    positions = (is_text.cumsum(-1) - 1).clamp(min=0)
    model.hidden(ids, attention_mask=_mask(model, causal & is_text[:, None]), position_ids=positions, **cache)
    itself = torch.eye(_CANDIDATES, dtype=torch.bool, device=text.device).expand(2, -1, -1)
    visible = torch.cat([is_text[:, None].expand(-1, _CANDIDATES, -1), itself], -1)
    positions = is_text.sum(-1, keepdim=True).expand(-1, _CANDIDATES)
    branches = candidates.expand(2, -1)
    return model.logits(model.hidden(branches, attention_mask=_mask(model, visible), position_ids=positions, **cache))


def _mask(model: CausalModel, visible: torch.Tensor) -> Any:
    dtype, config = model.network.dtype, model.network.config
    mask = torch.zeros(visible.shape, dtype=dtype, device=visible.device)
    mask = mask.masked_fill_(~visible, torch.finfo(dtype).min)[:, None]
    return by_layer_type(mask, config) if sliding_window(config) else mask


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__


def _alike(ours: torch.Tensor, theirs: torch.Tensor) -> bool:
    difference = (ours.float() - theirs.float()).abs().mean()
    return bool(difference <= _TOLERANCE.get(theirs.dtype, 0.1) * theirs.float().abs().mean().clamp(min=1e-6))
