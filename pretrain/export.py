"""A trained model as a Hugging Face folder (`OlmoForCausalLM`, safetensors, tokenizer), and such a folder read back."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from infra.atomic import atomic_path, write_json
from infra.errors import InputError
from pretrain.model import LAYER_NORM_EPSILON, OlmoModel
from pretrain.presets import Architecture
from pretrain.weights import State, load

WEIGHTS = "model.safetensors"


def export(state: State, shape: Architecture, tokenizer: Path, end_of_document: int, target: Path) -> None:
    """Write the folder `target` from the weights that `weights.gather` returned; loads with AutoModelForCausalLM.

    The embedding is stored once: the configuration ties `lm_head` to it. Equal weights give equal bytes.
    """
    target.mkdir(parents=True, exist_ok=True)
    for file in sorted(tokenizer.iterdir()):
        if file.is_file() and not file.name.startswith((".", "artifact")):
            shutil.copyfile(file, target / file.name)
    dtype = str(next(iter(state.values())).dtype).removeprefix("torch.")
    write_json(target / "config.json", hf_config(shape, end_of_document, dtype))
    write_json(target / "generation_config.json", {"eos_token_id": end_of_document, "do_sample": True})
    with atomic_path(target / WEIGHTS) as temporary:
        save_file({name: weight.contiguous() for name, weight in state.items()}, temporary, metadata={"format": "pt"})


def hf_config(shape: Architecture, end_of_document: int, dtype: str) -> dict[str, Any]:
    """`config.json` of the architecture.

    `pad_token_id` stays unset: transformers would drop the gradient of that row of the embedding.
    """
    return {
        "architectures": ["OlmoForCausalLM"],
        "model_type": "olmo",
        "vocab_size": shape.vocab_size,
        "hidden_size": shape.hidden_size,
        "intermediate_size": shape.ffn_hidden_size,
        "num_hidden_layers": shape.num_layers,
        "num_attention_heads": shape.num_attention_heads,
        "num_key_value_heads": shape.num_query_groups,
        "max_position_embeddings": shape.max_sequence_length,
        "rope_theta": shape.rotary_base,
        "rope_parameters": {"rope_type": "default", "rope_theta": shape.rotary_base},
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
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{folder}: not a Hugging Face model folder: {error}") from None
    if config.get("model_type") != "olmo" or config.get("clip_qkv") or not config.get("tie_word_embeddings"):
        found = f"model_type {config.get('model_type')!r}, clip_qkv {config.get('clip_qkv')!r}"
        raise InputError(f"{folder}: only OLMo-1 with tied embeddings and no clipping can be imported, this is {found}")
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


def import_weights(model: OlmoModel, shape: Architecture, folder: Path) -> None:
    """Fill a Megatron model from a Hugging Face folder, one or several safetensors files, one weight at a time."""
    files = _weight_files(folder)

    def read(name: str) -> Tensor:
        with safe_open(files[name], framework="pt") as opened:
            return opened.get_tensor(name).to(torch.float32)

    load(model, shape, read)


def _weight_files(folder: Path) -> dict[str, Path]:
    """File of every weight. Raises InputError when there are no safetensors."""
    found: dict[str, Path] = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as opened:
            found |= dict.fromkeys(opened.keys(), file)
    if not found:
        raise InputError(f"{folder}: no .safetensors files; convert the model with transformers' save_pretrained first")
    return found
