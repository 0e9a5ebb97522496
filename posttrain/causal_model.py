"""A Hugging Face causal language model as this floor sees it: where its heads are, what its texts start after.

Nothing here knows an architecture by name: heads are enumerated from the model's own attention modules, so that Olmo,
Llama, Mistral, Qwen, Gemma, GPT-NeoX, OPT and GPT-2 look alike, with or without grouped queries.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from tokenizers import Tokenizer

from infra.errors import UnavailableError
from mixtures.tokenizing.plain_text import text_only
from posttrain.loading.configuration import by_layer_type, sliding_window
from posttrain.loading.head import GivenStates

_OUTPUT_PROJECTIONS = ("o_proj", "dense", "out_proj", "c_proj")  # Llama and Olmo; GPT-NeoX; OPT and GPT-J; GPT-2


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
    concatenation of the query heads' outputs. With `bare_head` the output embedding is all of the network's head, and
    logits cost a tenth of a millisecond less.
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
    bare_head: bool = False

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
        if self.bare_head:
            return self.network.get_output_embeddings()(hidden).float()
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


def find_heads(network: Any) -> tuple[tuple[torch.nn.Module, ...], HeadLayout]:
    """Find every layer's attention output projection and the layout of the query heads in its input."""
    config, name = network.config, type(network).__name__
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
