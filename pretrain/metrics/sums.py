"""What batches add up to: the policy's loss, and plain cross-entropies by component and risk level."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pretrain.runtime.distributed import sum_over_ranks


@dataclass(frozen=True)
class Sums:
    """What a set of batches adds up to, on this rank; `over_ranks` makes it global.

    `loss` and `denominator` are the policy's; `cross_entropy` and `tokens` are plain cross-entropy (nats) and target
    counts, [components, risk levels], whatever the policy does with them.
    """

    loss: Tensor
    denominator: Tensor
    cross_entropy: Tensor
    tokens: Tensor

    @classmethod
    def zero(cls, components: int, levels: int, device: torch.device) -> Sums:
        """The sums of nothing, in float64 so that long intervals add up exactly enough."""
        return cls.from_flat(torch.zeros(2 + 2 * components * levels, dtype=torch.float64, device=device), components)

    @classmethod
    def from_flat(cls, flat: Tensor, components: int) -> Sums:
        """Undo `flat`."""
        cross_entropy, tokens = flat[2:].reshape(2, components, -1)
        return cls(flat[0], flat[1], cross_entropy, tokens)

    @property
    def flat(self) -> Tensor:
        """All sums in one vector."""
        return torch.cat([self.loss[None], self.denominator[None], self.cross_entropy.ravel(), self.tokens.ravel()])

    def __add__(self, other: Sums) -> Sums:
        return Sums.from_flat(self.flat + other.flat, len(self.tokens))

    def over_ranks(self) -> Sums:
        """The global sums. Collective."""
        return Sums.from_flat(sum_over_ranks(self.flat.clone()), len(self.tokens))
