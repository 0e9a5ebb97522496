"""A trained model as a Hugging Face folder (`OlmoForCausalLM`, safetensors, tokenizer), and such a folder read back."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from infra.atomic import atomic_path, write_json
from infra.errors import InputError
from pretrain.files import CONFIG
from pretrain.huggingface.config import hf_config
from pretrain.huggingface.weight_file import write_weights
from pretrain.model.architecture import Architecture
from pretrain.model.olmo import OlmoModel
from pretrain.model.weights import load, weight_shapes

WEIGHTS = "model.safetensors"
Weights = Iterable[tuple[str, Tensor]]


def export(
    weights: Weights,
    dtype: torch.dtype,
    architecture: Architecture,
    tokenizer: Path,
    end_of_document: int,
    target: Path,
) -> None:
    """Write the folder `target` from the weights that `weights.gather` gives; loads with AutoModelForCausalLM.

    The embedding is stored once: the configuration ties `lm_head` to it. Equal weights give equal bytes.
    """
    target.mkdir(parents=True, exist_ok=True)
    for file in sorted(tokenizer.iterdir()):
        if file.is_file() and not file.name.startswith((".", "artifact")):
            shutil.copyfile(file, target / file.name)
    save_model(weights, dtype, architecture, end_of_document, target)


def save_model(
    weights: Weights, dtype: torch.dtype, architecture: Architecture, end_of_document: int, target: Path
) -> None:
    """Write the weights and their configuration, without a tokenizer, into a folder that is there."""
    write_json(target / CONFIG, hf_config(architecture, end_of_document, str(dtype).removeprefix("torch.")))
    write_json(target / "generation_config.json", {"eos_token_id": end_of_document, "do_sample": True})
    with atomic_path(target / WEIGHTS) as temporary:
        write_weights(temporary, weight_shapes(architecture), dtype, weights)


def import_weights(model: OlmoModel, architecture: Architecture, folder: Path) -> None:
    """Fill a Megatron model from a Hugging Face folder, one or several safetensors files, one weight at a time."""
    files = _weight_files(folder)

    def read(name: str) -> Tensor:
        with safe_open(files[name], framework="pt") as opened:
            return opened.get_tensor(name).to(torch.float32)

    load(model, architecture, read)


def _weight_files(folder: Path) -> dict[str, Path]:
    """File of every weight. Raises InputError when there are no safetensors."""
    files: dict[str, Path] = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as opened:
            files |= dict.fromkeys(opened.keys(), file)
    if not files:
        raise InputError(f"{folder}: no .safetensors files; convert the model with transformers' save_pretrained first")
    return files
