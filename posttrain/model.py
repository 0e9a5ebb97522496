"""A Hugging Face causal language model as this floor sees it: where its heads are, what its texts start after.

Nothing here knows an architecture by name: heads are enumerated from the model's own attention modules, so that Olmo,
Llama, Mistral, Qwen, Gemma, GPT-NeoX, OPT and GPT-2 look alike, with or without grouped queries.
"""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from tokenizers import Tokenizer

from infra.errors import InputError, UnavailableError, UserError
from mixtures.tokenizing.plain_text import text_only
from posttrain.loading.adapter import check_adapter, merge, without_adapter
from posttrain.loading.configuration import attention, by_layer_type, check_layers, read_config, sliding_window
from posttrain.loading.head import GivenStates
from posttrain.loading.trial import check_causal, check_runs
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
    token, which is what precedes a document in packed training). Any of `ends` stops a generation; `end`, one of them,
    fills up what is shorter. `outputs` are the attention output projections, one a layer: their input is the
    concatenation of the query heads' outputs.
    """

    network: Any
    tokenizer: Any
    fingerprint: str
    layout: HeadLayout
    outputs: tuple[torch.nn.Module, ...]
    start: int
    end: int
    ends: tuple[int, ...]
    max_positions: int

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.network.parameters()).device

    @property
    def cache_bytes(self) -> int:
        """Bytes of one token's keys and values in all layers, as if every query head had its own."""
        return 2 * self.layout.layers * self.layout.heads * self.layout.head_dim * self.network.dtype.itemsize

    def encode(self, texts: list[str], special: bool = False) -> list[list[int]]:
        """Token ids of each text, nothing added.

        A text that spells the end-of-text token, or any other special token, is ordinary text, as in training. With
        `special` it is that token: for prefixes that are made of control tokens.
        """
        if not texts:
            return []
        if special or self._reader is None:
            return self.tokenizer(texts, add_special_tokens=False, split_special_tokens=not special)["input_ids"]
        return [encoding.ids for encoding in self._reader.encode_batch(texts, add_special_tokens=False)]

    def decode(self, ids: list[int]) -> str:
        """Text of token ids, special tokens left out."""
        return self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)

    def hidden(self, ids: torch.Tensor, **arguments: Any) -> torch.Tensor:
        """Final hidden states (after the last norm), [rows, positions, hidden].

        An additive `attention_mask` [rows, 1, queries, keys] is cut to the sliding window in the layers that have one.
        """
        mask = arguments.get("attention_mask")
        if self._window is not None and isinstance(mask, torch.Tensor) and mask.shape[-1] > self._window:
            arguments["attention_mask"] = by_layer_type(mask, self.network.config)
        return self.network.base_model(input_ids=ids, **arguments).last_hidden_state

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Next-token logits in float32 for hidden states of any leading shape, by the network's own head: scaled or
        capped where it does so.
        """
        rows = hidden.reshape(1, -1, hidden.shape[-1])
        return self._head(inputs_embeds=rows, use_cache=False).logits.float().view(*hidden.shape[:-1], -1)

    @cached_property
    def _window(self) -> int | None:
        return sliding_window(self.network.config)

    @cached_property
    def _head(self) -> Any:
        """The network with its body replaced: its forward begins with hidden states, and goes on as it always does."""
        head = copy.copy(self.network)
        head._modules = {**self.network._modules, self.network.base_model_prefix: GivenStates()}
        return head

    @cached_property
    def _reader(self) -> Tokenizer | None:
        """The tokenizer for which every text is ordinary text; None for one that is written in Python."""
        fast = getattr(self.tokenizer, "backend_tokenizer", None)
        if not isinstance(fast, Tokenizer):
            return None
        reader = Tokenizer.from_str(fast.to_str())
        reader.no_truncation()
        reader.no_padding()
        return text_only(reader, self.end)


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
    return model


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


def find_heads(network: Any) -> tuple[tuple[torch.nn.Module, ...], HeadLayout]:
    """Find every layer's attention output projection and the layout of the query heads in its input."""
    config, name = network.config, type(network).__name__
    check_layers(config)
    outputs = [
        child
        for module in network.base_model.modules()
        if type(module).__name__.endswith("Attention")
        for child_name, child in module.named_children()
        if child_name in _OUTPUT_PROJECTIONS
    ]
    layers, heads = config.num_hidden_layers, getattr(config, "num_attention_heads", None)
    if len(outputs) != layers or not isinstance(heads, int):
        raise UnavailableError(
            f"{name}: {len(outputs)} attention output projections for {layers} layers; not supported"
        )
    width = getattr(outputs[0], "in_features", None) or outputs[0].nx  # GPT-2's Conv1D calls it nx
    return tuple(outputs), HeadLayout(layers, heads, width // heads, config.hidden_size)
