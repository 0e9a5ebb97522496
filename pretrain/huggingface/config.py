"""`config.json` of OlmoForCausalLM, written and read. Light: nothing is loaded."""

from __future__ import annotations

import json
from pathlib import Path

from infra.artifacts.records import JsonObject
from infra.errors import InputError
from pretrain.files import CONFIG
from pretrain.model.architecture import LAYER_NORM_EPSILON, Architecture


def hf_config(architecture: Architecture, end_of_document: int, dtype: str) -> JsonObject:
    """`config.json` of the architecture.

    `pad_token_id` stays unset: transformers would drop the gradient of that row of the embedding.
    """
    return {
        "architectures": ["OlmoForCausalLM"],
        "model_type": "olmo",
        "vocab_size": architecture.vocab_size,
        "hidden_size": architecture.hidden_size,
        "intermediate_size": architecture.ffn_hidden_size,
        "num_hidden_layers": architecture.num_layers,
        "num_attention_heads": architecture.num_attention_heads,
        "num_key_value_heads": architecture.num_query_groups,
        "max_position_embeddings": architecture.max_sequence_length,
        "rope_theta": architecture.rotary_base,
        "rope_parameters": {"rope_type": "default", "rope_theta": architecture.rotary_base},
        "layer_norm_eps": LAYER_NORM_EPSILON,
        "hidden_act": "silu",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "clip_qkv": None,
        "initializer_range": 0.02,
        "tie_word_embeddings": True,
        "use_cache": True,
        "pad_token_id": None,
        "bos_token_id": None,
        "eos_token_id": end_of_document,
        "dtype": dtype,
    }


def read_architecture(folder: Path) -> Architecture:
    """Architecture of a Hugging Face OLMo folder. Raises InputError for another model or a variant not built here."""
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{folder}: not a Hugging Face model folder: {error}") from None
    if config.get("model_type") != "olmo" or config.get("clip_qkv") or not config.get("tie_word_embeddings"):
        model = f"model_type {config.get('model_type')!r}, clip_qkv {config.get('clip_qkv')!r}"
        raise InputError(f"{folder}: only OLMo-1 with tied embeddings and no clipping can be imported, this is {model}")
    rotary = config.get("rope_theta") or (config.get("rope_parameters") or {}).get("rope_theta", 10000.0)
    return Architecture(
        num_layers=config["num_hidden_layers"],
        hidden_size=config["hidden_size"],
        num_attention_heads=config["num_attention_heads"],
        num_query_groups=config.get("num_key_value_heads") or config["num_attention_heads"],
        ffn_hidden_size=config["intermediate_size"],
        vocab_size=config["vocab_size"],
        max_sequence_length=config["max_position_embeddings"],
        rotary_base=float(rotary),
    )
