"""The last layer of an encoder, for the one token that its classifier reads.

BERT, RoBERTa and XLM-RoBERTa classify a text by the last layer's output at the first token. Of that layer only keys and
values are needed for all tokens; queries, both projections of the feed-forward part and the norms are not: ten twelfths
of a layer's work, 7 % of a twelve-layer model's.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as functional

_READ_THE_FIRST = ("bert", "roberta", "xlm-roberta")  # config.model_type


class FirstTokenLayer(torch.nn.Module):
    """An encoder layer of BERT's kind whose output is that of its first token alone, [rows, 1, hidden]."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, hidden: torch.Tensor, attention_mask: torch.Tensor | None = None, *_: Any, **__: Any) -> Any:
        """`attention_mask` [rows, 1, tokens, tokens], bool or to be added to attention scores."""
        attention, first = self.layer.attention, hidden[:, :1]
        heads = attention.self  # transformers calls the module so
        query, key, value = (
            product.unflatten(-1, (-1, heads.attention_head_size)).transpose(1, 2)
            for product in (heads.query(first), heads.key(hidden), heads.value(hidden))
        )
        seen = None if attention_mask is None else attention_mask[:, :, :1]
        attended = functional.scaled_dot_product_attention(query, key, value, attn_mask=seen, scale=heads.scaling)
        return self.layer.feed_forward_chunk(attention.output(attended.transpose(1, 2).flatten(2), first))


def read_first_token_only(model: Any) -> Any:
    """The same classifier, changed in place where it is of a kind that reads its first token: its logits stay."""
    if is_of_berts_kind(model):
        layers = model.base_model.encoder.layer
        layers[-1] = FirstTokenLayer(layers[-1])
    return model


def is_of_berts_kind(model: Any) -> bool:
    """Whether it is a sequence classifier of one of those three."""
    return model.config.model_type in _READ_THE_FIRST and type(model).__name__.endswith("ForSequenceClassification")
