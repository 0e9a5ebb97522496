"""Loading a causal language model: from a pretrain artifact, a folder, an adapter or the hub."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from infra.errors import InputError, UnavailableError, UserError
from posttrain.causal_model import CausalModel, HeadLayout, find_heads
from posttrain.loading.adapter import check_adapter, merge, without_adapter
from posttrain.loading.configuration import attention, check_layers, read_config
from posttrain.loading.trial import check_causal, check_runs, has_bare_head
from posttrain.loading.weights import check_finite, check_report
from posttrain.spec import Device
from pretrain.huggingface.location import (
    HUB,
    adapter_base,
    check_weights,
    fingerprint,
    is_adapter,
    weights_folder,
)

__all__ = ["CausalModel", "HeadLayout", "choose_device", "find_heads", "load_model", "wrap"]

_NO_LIMIT = 1 << 20


def choose_device(choice: Device) -> torch.device:
    """Where models run: with `auto` this machine's GPU if it has one. Raises UnavailableError for a GPU that is not."""
    if choice == "cuda" and not torch.cuda.is_available():
        raise UnavailableError("device is cuda, and this machine has no GPU that PyTorch can use; say device: cpu")
    return torch.device("cuda" if choice != "cpu" and torch.cuda.is_available() else "cpu")


def load_model(location: str, device: Device = "auto") -> CausalModel:
    """Load a pretrain artifact, a Hugging Face folder, a PEFT adapter's folder or `hf:org/model`, weights from
    safetensors only.

    Float32 on a CPU, bfloat16 on a GPU; an adapter is merged in float32. Raises InputError for what is not a causal
    language model with an end-of-text token and all of its weights, UnavailableError for what cannot be downloaded or
    steered here and for a missing GPU, ArtifactError for a damaged artifact.
    """
    from transformers.utils import logging

    logging.disable_progress_bar()  # hormesis draws its own, and stays quiet where there is no terminal
    logging.set_verbosity_error()  # what it warns of is refused here
    identity, folder = fingerprint(location), weights_folder(location)
    check_weights(location)
    where = choose_device(device)
    dtype = torch.float32 if where.type == "cpu" else torch.bfloat16
    if not location.startswith(HUB) and is_adapter(folder):
        network, tokenizer = _with_adapter(Path(folder))
    else:
        network, tokenizer = _load(folder, location, dtype)
    check_finite(network, location)
    return wrap(network.to(where, dtype).eval(), tokenizer, identity, location)


def _load(folder: str, location: str, dtype: torch.dtype) -> tuple[Any, Any]:
    """Network and tokenizer of a folder or hub name; `location` is what messages call it."""
    from transformers import AutoModelForCausalLM

    try:
        config = read_config(folder, location)
        network, report = AutoModelForCausalLM.from_pretrained(
            folder,
            config=config,
            dtype=dtype,
            attn_implementation=attention(config),
            use_safetensors=True,
            trust_remote_code=False,
            ignore_mismatched_sizes=True,  # so that they are in the report
            output_loading_info=True,
        )
    except UserError:
        raise
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        raise _cannot_be_loaded(location, error) from None
    check_report(report, location)
    tokenizer = _load_tokenizer(folder, location)
    if getattr(network, "_hf_peft_config_loaded", False):  # of the hub; a folder's never gets here
        raise UnavailableError(f"{location}: a PEFT adapter; fetch it with `hf download` and name its folder")
    return network, tokenizer


def _load_tokenizer(folder: str, location: str) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise _cannot_be_loaded(location, error) from None


def _with_adapter(folder: Path) -> tuple[Any, Any]:
    """A network with the adapter in `folder` merged, and the tokenizer beside the adapter, or else its model's."""
    check_adapter(folder)
    base = adapter_base(folder)
    if base == str(folder):
        with without_adapter(folder) as view:
            network, tokenizer = _load(view, str(folder), torch.float32)
    else:
        network, tokenizer = _load(weights_folder(base), f"{folder}: its base model {base}", torch.float32)
        if (folder / "tokenizer_config.json").is_file():
            tokenizer = _load_tokenizer(str(folder), str(folder))
    return merge(network, folder), tokenizer


def _cannot_be_loaded(location: str, error: Exception) -> UserError:
    if isinstance(error, SafetensorError):
        return InputError(f"{location}: a safetensors file is damaged or cut off ({first_line(error)})")
    if "trust_remote_code" in str(error):
        return UnavailableError(f"{location}: needs code that it brings along (auto_map), which is never run here")
    kind = UnavailableError if location.startswith(HUB) else InputError
    return kind(f"{location}: cannot be loaded as a causal language model: {first_line(error)}")


def first_line(error: BaseException) -> str:
    """The first sentence of an error of transformers, which writes whole paragraphs."""
    return re.split(r"\n|(?<=[.!?])\s", str(error).strip(), maxsplit=1)[0] or type(error).__name__


def wrap(network: Any, tokenizer: Any, identity: str, location: str = "the model") -> CausalModel:
    """Make a CausalModel of a loaded network; raises what `load_model` raises."""
    config = network.config
    check_layers(config)
    check_causal(network, location)
    outputs, layout = find_heads(network)
    ends = _ends(network, tokenizer)
    end = tokenizer.eos_token_id if tokenizer.eos_token_id is not None else ends[0]
    start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else end
    limit = getattr(config, "max_position_embeddings", None) or _NO_LIMIT
    entries, rows = max(tokenizer.get_vocab().values()) + 1, network.get_input_embeddings().weight.shape[0]
    if entries > rows:
        raise InputError(f"{location}: the tokenizer has {entries} entries, and the embedding {rows}")
    if hasattr(config, "output_router_logits"):
        config.output_router_logits = False  # a training loss, for which the forward wants more than hidden states
    model = CausalModel(network, tokenizer, identity, layout, outputs, start, end, ends, limit)
    check_runs(model)
    return replace(model, bare_head=has_bare_head(model))


def _ends(network: Any, tokenizer: Any) -> tuple[int, ...]:
    """The tokenizer's end-of-text token and all those of the generation configuration."""
    declared = getattr(network.generation_config, "eos_token_id", None)
    if declared is None:
        declared = network.config.eos_token_id
    ends = [tokenizer.eos_token_id, *(declared if isinstance(declared, list) else [declared])]
    ends = [number for number in dict.fromkeys(ends) if number is not None]
    if not ends:
        raise InputError("the tokenizer has no end-of-text token; set eos_token in tokenizer_config.json")
    return tuple(ends)
