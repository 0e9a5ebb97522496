"""A Hugging Face causal language model as this floor sees it: where its heads are, what its texts start after.

Nothing here knows an architecture by name: heads are enumerated from the model's own attention modules, so that Olmo,
Llama, Mistral, Qwen, GPT-NeoX, OPT and GPT-2 look alike, with or without grouped queries.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import torch

from infra.errors import InputError, UnavailableError
from posttrain.spec import Device
from pretrain.huggingface.location import HUB, check_weights, fingerprint, weights_folder

_OUTPUT_PROJECTIONS = ("o_proj", "dense", "out_proj", "c_proj")  # Llama and Olmo; GPT-NeoX; OPT and GPT-J; GPT-2
_NO_LIMIT = 1 << 20


@dataclass(frozen=True)
class HeadLayout:
    """How many query heads there are, and how wide each one's output is."""

    layers: int
    heads: int
    head_dim: int
    hidden: int

    def __str__(self) -> str:
        return f"{self.layers} layers x {self.heads} heads x {self.head_dim}, hidden size {self.hidden}"


@dataclass(frozen=True)
class CausalModel:
    """A loaded model with its tokenizer.

    `start` is the token that every text follows (the beginning-of-text token, or where there is none the end-of-text
    token, which is what precedes a document in packed training); `end` stops a generation. `outputs` are the
    attention output projections, one a layer: their input is the concatenation of the query heads' outputs.
    """

    network: Any
    tokenizer: Any
    fingerprint: str
    layout: HeadLayout
    outputs: tuple[torch.nn.Module, ...]
    start: int
    end: int
    max_positions: int

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.network.parameters()).device

    @property
    def cache_bytes(self) -> int:
        """Bytes of one token's keys and values in all layers, as if every query head had its own."""
        return 2 * self.layout.layers * self.layout.heads * self.layout.head_dim * self.network.dtype.itemsize

    def encode(self, texts: list[str]) -> list[list[int]]:
        """Token ids of each text, nothing added."""
        return self.tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else []

    def decode(self, ids: list[int]) -> str:
        """Text of token ids, special tokens left out."""
        return self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)

    def hidden(self, ids: torch.Tensor, **arguments: Any) -> torch.Tensor:
        """Final hidden states (after the last norm), [rows, positions, hidden]."""
        return self.network.base_model(input_ids=ids, **arguments).last_hidden_state

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Next-token logits in float32 for hidden states of any leading shape."""
        return self.network.get_output_embeddings()(hidden).float()


def choose_device(choice: Device) -> torch.device:
    """Where models run: with `auto` this machine's GPU if it has one. Raises UnavailableError for a GPU that is not."""
    if choice == "cuda" and not torch.cuda.is_available():
        raise UnavailableError("device is cuda, and this machine has no GPU that PyTorch can use; say device: cpu")
    return torch.device("cuda" if choice != "cpu" and torch.cuda.is_available() else "cpu")


def load_model(location: str, device: Device = "auto") -> CausalModel:
    """Load a pretrain artifact, a Hugging Face folder or `hf:org/model`, weights from safetensors only.

    Float32 on a CPU, bfloat16 on a GPU. Raises InputError for what is not a causal language model with an
    end-of-text token, UnavailableError for what cannot be downloaded or steered here and for a missing GPU,
    ArtifactError for damaged weights.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()  # hormesis draws its own, and stays quiet where there is no terminal
    identity, folder = fingerprint(location), weights_folder(location)
    check_weights(location)
    where = choose_device(device)
    dtype = torch.float32 if where.type == "cpu" else torch.bfloat16
    # sdpa, as a tree of candidates needs a four-dimensional mask: flash attention takes none, eager attention stores
    # every score, and the default is not the same on every machine.
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
        network = AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype, attn_implementation="sdpa", use_safetensors=True
        )
    except (OSError, ValueError, json.JSONDecodeError) as error:
        kind = UnavailableError if location.startswith(HUB) else InputError
        raise kind(f"{folder}: cannot be loaded as a causal language model: {first_line(error)}") from None
    return wrap(network.to(where).eval(), tokenizer, identity)


def first_line(error: BaseException) -> str:
    """The first sentence of an error of transformers, which writes whole paragraphs."""
    return re.split(r"\n|(?<=[.!?])\s", str(error).strip(), maxsplit=1)[0] or type(error).__name__


def wrap(network: Any, tokenizer: Any, identity: str) -> CausalModel:
    """Make a CausalModel of a loaded network; raises what `load_model` raises."""
    config = network.config
    outputs, layout = find_heads(network)
    end = tokenizer.eos_token_id if tokenizer.eos_token_id is not None else config.eos_token_id
    if not isinstance(end, int):
        raise InputError("the tokenizer has no end-of-text token; set eos_token in tokenizer_config.json")
    start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else end
    limit = getattr(config, "max_position_embeddings", None) or _NO_LIMIT
    model = CausalModel(network, tokenizer, identity, layout, outputs, start, end, limit)
    _check_head(model)
    return model


def find_heads(network: Any) -> tuple[tuple[torch.nn.Module, ...], HeadLayout]:
    """Find every layer's attention output projection and the layout of the query heads in its input."""
    outputs = [
        child
        for module in network.base_model.modules()
        if type(module).__name__.endswith("Attention")
        for name, child in module.named_children()
        if name in _OUTPUT_PROJECTIONS
    ]
    config = network.config
    layers, heads = config.num_hidden_layers, config.num_attention_heads
    if len(outputs) != layers:
        name = type(network).__name__
        raise UnavailableError(
            f"{name}: {len(outputs)} attention output projections for {layers} layers; not supported"
        )
    if getattr(config, "sliding_window", None) or set(getattr(config, "layer_types", None) or ()) - {"full_attention"}:
        raise UnavailableError(f"{type(network).__name__}: sliding-window or linear attention is not supported")
    width = getattr(outputs[0], "in_features", None) or outputs[0].nx  # GPT-2's Conv1D calls it nx
    return tuple(outputs), HeadLayout(layers, heads, width // heads, config.hidden_size)


@torch.inference_mode()
def _check_head(model: CausalModel) -> None:
    """Some models scale or cap their logits after the output embedding; decoding here would silently differ."""
    ids = torch.tensor([[model.start, model.end, 0]], device=model.device)
    ours, theirs = model.logits(model.hidden(ids)), model.network(input_ids=ids).logits.float()
    if not torch.allclose(ours, theirs, atol=1e-2, rtol=1e-2):
        raise UnavailableError(f"{type(model.network).__name__}: its logits are not those of its output embedding")
