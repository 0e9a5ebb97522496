"""The head of a network without its body: logits scaled, capped or moved as the network's own forward does it."""

from __future__ import annotations

from typing import Any

import torch
from transformers.modeling_outputs import BaseModelOutputWithPast


class GivenStates(torch.nn.Module):
    """Stands in for the body of a network: the embeddings that it is given are the final hidden states."""

    def forward(self, *_: Any, inputs_embeds: torch.Tensor, **__: Any) -> BaseModelOutputWithPast:
        """What the body of any architecture returns, as far as a head reads it."""
        return _Output(last_hidden_state=inputs_embeds)

    @property
    def decoder(self) -> GivenStates:
        """OPT calls its body by this name."""
        return self


class _Output(BaseModelOutputWithPast):
    """Has nothing of what some bodies return beside (cross attentions, the logits of a router)."""

    def __getattr__(self, name: str) -> None:
        if name.startswith("_"):
            raise AttributeError(name)
