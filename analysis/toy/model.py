"""The toy transformer, and many of them at once: parameters are stacked and the forward pass is vectorised over them
(`torch.func`), so that a hundred models of a few hundred parameters cost little more than one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.func import functional_call, stack_module_state, vmap

from analysis.toy.spec import ToyModelSpec

Parameters = dict[str, torch.Tensor]


class Block(nn.Module):
    """Pre-norm attention and MLP."""

    def __init__(self, spec: ToyModelSpec, length: int) -> None:
        super().__init__()
        self.heads = spec.heads
        self.before_attention, self.before_mlp = nn.LayerNorm(spec.width), nn.LayerNorm(spec.width)
        self.qkv, self.out = nn.Linear(spec.width, 3 * spec.width), nn.Linear(spec.width, spec.width)
        self.up, self.down = nn.Linear(spec.width, spec.mlp), nn.Linear(spec.mlp, spec.width)
        future = torch.ones(length, length, dtype=torch.bool).triu(1)
        self.register_buffer("future", future, persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[sequences, length, width] -> the same."""
        x = x + self._attention(self.before_attention(x))
        return x + self.down(nn.functional.gelu(self.up(self.before_mlp(x))))

    def _attention(self, x: torch.Tensor) -> torch.Tensor:
        # Written out: PyTorch's fused attention has no batching rule for CPUs and would loop over the models.
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
        weights = scores.masked_fill(self.future, -torch.inf).softmax(-1)
        return self.out((weights @ v).transpose(1, 2).flatten(-2))


class ToyTransformer(nn.Module):
    """Decoder whose residual stream is read before the last norm."""

    def __init__(self, spec: ToyModelSpec, states: int, length: int) -> None:
        super().__init__()
        self.token, self.position = nn.Embedding(states, spec.width), nn.Embedding(length, spec.width)
        self.blocks = nn.ModuleList(Block(spec, length) for _ in range(spec.layers))
        self.norm, self.head = nn.LayerNorm(spec.width), nn.Linear(spec.width, states, bias=False)

    def forward(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """[sequences, length] -> logits [sequences, length, states], residual stream [sequences, length, width]."""
        x = self.token(tokens) + self.position.weight
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x)), x


class Ensemble:
    """One model a seed in `seeds` (which may repeat): parameters stacked, `forward` vectorised over models."""

    def __init__(self, spec: ToyModelSpec, states: int, length: int, seeds: Sequence[int]) -> None:
        models = [_seeded(spec, states, length, seed) for seed in seeds]
        self.parameters: Parameters
        self.parameters, buffers = stack_module_state(models)
        skeleton = models[0].to("meta")

        def one(parameters: Parameters, of_model: Parameters, tokens: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return functional_call(skeleton, (parameters, of_model), (tokens,))

        vectorised: Callable[..., tuple[torch.Tensor, torch.Tensor]] = vmap(one, in_dims=(0, 0, None))
        self._forward, self._buffers = vectorised, buffers

    def forward(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """[sequences, length] -> logits [models, sequences, length, states], residual stream [models, …, width]."""
        return self._forward(self.parameters, self._buffers, tokens)


def _seeded(spec: ToyModelSpec, states: int, length: int, seed: int) -> ToyTransformer:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ToyTransformer(spec, states, length)
