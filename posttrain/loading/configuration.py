"""What a model's configuration says against it, before any weight is read."""

from __future__ import annotations

from typing import Any

import torch

from infra.errors import InputError, UnavailableError

_FULL, _SLIDING = "full_attention", "sliding_attention"


def read_config(folder: str, location: str) -> Any:
    """The configuration of a model that can be steered here.

    Raises InputError for an encoder, a multimodal or a quantised model, UnavailableError for layers that are not
    attention or that attend in a way of their own. Code that a folder brings along is never run, nor asked about.
    """
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    if config.is_encoder_decoder:
        raise InputError(f"{location}: an encoder-decoder ({config.model_type}), not a causal language model")
    if config.get_text_config() is not config:
        raise InputError(f"{location}: a multimodal model ({config.model_type}), not a causal language model of text")
    if quantised := getattr(config, "quantization_config", None):
        scheme = quantised.get("quant_method", "unknown") if isinstance(quantised, dict) else quantised.quant_method
        raise InputError(f"{location}: the weights are quantised ({scheme}); steering needs them in floating point")
    check_layers(config)
    return config


def check_layers(config: Any) -> None:
    """Raise UnavailableError for layers other than full and sliding-window attention, by their names."""
    kinds = set(getattr(config, "layer_types", None) or ()) | set(getattr(config, "layers_block_type", None) or ())
    others = kinds - {_FULL, _SLIDING, "attention"}
    if "local" in (getattr(config, "attention_layers", None) or ()):  # GPT-Neo cuts them out of the mask by itself
        others.add("local_attention")
    if others:
        raise UnavailableError(f"{config.model_type}: layers of {', '.join(sorted(others))} are not supported")


def attention(config: Any) -> str:
    """The attention implementation to run the model with.

    `sdpa`, as a tree of candidates needs a four-dimensional mask: flash attention takes none, eager attention stores
    every score, and the default is not the same on every machine. `eager` where the scores are capped (Gemma 2) or
    have sinks, which sdpa knows nothing of.
    """
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING

    network = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
    capped = getattr(config, "attn_logit_softcapping", None) is not None
    return "eager" if capped or not network._supports_sdpa else "sdpa"


def sliding_window(config: Any) -> int | None:
    """How many tokens the sliding layers see, the token itself included; None where there is no such layer."""
    kinds = getattr(config, "layer_types", None)
    return None if kinds and _SLIDING not in kinds else getattr(config, "sliding_window", None)


def by_layer_type(mask: torch.Tensor, config: Any) -> torch.Tensor | dict[str, torch.Tensor]:
    """An additive mask [rows, 1, queries, keys] in the form in which the network takes it, its sliding layers' window
    cut out.

    In every mask of this floor a query sees all of the text before it and itself, the last key it sees. What a window
    of w leaves is thus the last w keys that it sees, wherever padding and candidates stand between them.
    """
    window = sliding_window(config)
    assert window is not None
    later_or_same = (mask == 0).flip(-1).cumsum(-1).flip(-1)
    cut = mask.masked_fill(later_or_same > window, torch.finfo(mask.dtype).min)
    kinds = getattr(config, "layer_types", None)
    return {_FULL: mask, _SLIDING: cut} if kinds else cut
