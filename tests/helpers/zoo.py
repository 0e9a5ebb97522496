"""Small random models of many architectures, saved as Hugging Face folders: what every steering method must run on.

`save(name, folder)` writes one; `NAMES` are all of them. Weights are ten times the usual size, so that the models are
far from uniform, and norms and biases are random too. Contexts hold 96 tokens, and sliding windows are longer unless
the changes say otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from tests.helpers.causal_models import SIZES, save_tokenizer

_GQA = {"num_key_value_heads": 2}
_HEADS = {"head_dim": 8}
_MIXED = {"layer_types": ["sliding_attention", "full_attention"]}
_TIED, _UNTIED = {"tie_word_embeddings": True}, {"tie_word_embeddings": False}


@dataclass(frozen=True)
class Architecture:
    """A class of transformers without its `Config` and `ForCausalLM`, and what its configuration says beside sizes."""

    family: str
    options: dict[str, Any] = field(default_factory=dict)
    network: str = "ForCausalLM"


ZOO = {
    "llama": Architecture("Llama", _UNTIED),
    "llama-gqa": Architecture("Llama", _GQA | _UNTIED),
    "llama-tied": Architecture("Llama", _GQA | _TIED),
    "gpt2": Architecture("GPT2", _TIED, "LMHeadModel"),
    "neox": Architecture("GPTNeoX", _UNTIED),
    "opt": Architecture("OPT", {"ffn_dim": 64, "word_embed_proj_dim": 32} | _TIED),
    "qwen2": Architecture("Qwen2", _GQA | _TIED),
    "qwen3": Architecture("Qwen3", _GQA | _HEADS | _UNTIED),
    "gemma2": Architecture(
        "Gemma2", _GQA | _HEADS | _MIXED | _TIED | {"attn_logit_softcapping": 5.0, "query_pre_attn_scalar": 8}
    ),
    "gemma3": Architecture("Gemma3", _GQA | _HEADS | _MIXED | _TIED | {"query_pre_attn_scalar": 8}),
    "olmo": Architecture("Olmo", _TIED),
    "olmo2": Architecture("Olmo2", _UNTIED),
    "olmo3": Architecture("Olmo3", _GQA | _MIXED | _UNTIED),
    "mistral": Architecture("Mistral", _GQA | _UNTIED),
    "mixtral": Architecture("Mixtral", _GQA | _UNTIED | {"num_local_experts": 4, "sliding_window": 4096}),
    "cohere": Architecture("Cohere", _GQA | _TIED | {"logit_scale": 0.25}),
    "granite": Architecture("Granite", _GQA | _TIED | {"logits_scaling": 3.0, "residual_multiplier": 0.5}),
}
NAMES = tuple(ZOO)


def save(name: str, folder: Path, **changes: Any) -> Path:
    """Write the model `name` and its tokenizer to `folder`, with `changes` to its configuration."""
    import transformers

    kind = ZOO[name]
    prefix = "Gemma3Text" if kind.family == "Gemma3" else kind.family
    torch.manual_seed(0)
    sizes = {"vocab_size": save_tokenizer(folder), **SIZES}
    if kind.family == "GPT2":  # its own names, which the others are attributes of
        renamed = {"hidden_size": "n_embd", "num_hidden_layers": "n_layer", "num_attention_heads": "n_head"}
        renamed |= {"max_position_embeddings": "n_positions", "intermediate_size": "n_inner"}
        sizes = {renamed.get(key, key): value for key, value in sizes.items()}
    config = getattr(transformers, f"{prefix}Config")(**{**sizes, **kind.options, **changes})
    network = getattr(transformers, f"{kind.family}{kind.network}")(config)
    with torch.no_grad():
        for parameter_name, parameter in network.named_parameters():
            if parameter_name.endswith("bias"):
                parameter.normal_(0, 0.1)
            elif "norm" in parameter_name:  # Gemma's are added to 1: its layers then outweigh its scaled embedding
                parameter.normal_(1, 0.3)
    network.save_pretrained(folder)
    return folder
