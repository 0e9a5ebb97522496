"""The SLUNG loss: what happens to a target token is looked up by its risk byte (Wang et al. 2025, arXiv 2505.03052).

A policy is a table with one row per component of the mixture and one column per risk byte, applied to the per-token
cross-entropy. No further pass over the logits is needed, because p(target) = exp(−cross-entropy); so it also holds
where the vocabulary is divided over tensor-parallel ranks.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mixtures.formats.risk import STRUCTURAL, UNSCORED, threshold_byte
from pretrain.loss.spec import LossSpec

BYTES = 256
_LN2 = 0.6931471805599453


@dataclass(frozen=True)
class LossTable:
    """A loss policy, looked up by (component, risk byte); every table is [components, 256].

    `cross_entropy` and `unlikelihood` are fp32 weights on the two losses, `removed` says which input tokens are
    replaced, `counted` which targets enter the denominator. Whether the table `removes` any input token, and
    `has_unlikelihood` for any target, is known on the host, so that a step need not ask the device.
    """

    cross_entropy: Tensor
    unlikelihood: Tensor
    removed: Tensor
    counted: Tensor
    removes: bool
    has_unlikelihood: bool

    @classmethod
    def from_spec(cls, spec: LossSpec, components: Sequence[str]) -> LossTable:
        """Compile a loss policy for the components of the blend, in their order."""
        cross_entropy = torch.ones(len(components), BYTES)
        unlikelihood = torch.zeros(len(components), BYTES)
        removed = torch.zeros(len(components), BYTES, dtype=torch.bool)
        for row, name in enumerate(components):
            for band in spec.bands_of(name):
                above = slice(threshold_byte(band.at_or_above), STRUCTURAL)
                cross_entropy[row, above] = float(band.do == "keep")
                unlikelihood[row, above] = band.weight if band.do == "unlikelihood" else 0.0
                removed[row, above] = band.do == "remove"
        cross_entropy[:, STRUCTURAL] = 0.0
        counted = (cross_entropy > 0) | (unlikelihood > 0)
        if spec.normalise_by == "all_tokens":
            counted = torch.ones(len(components), BYTES, dtype=torch.bool)
            counted[:, STRUCTURAL] = False
        return cls(cross_entropy, unlikelihood, removed, counted, bool(removed.any()), bool(unlikelihood.any()))

    def to(self, device: torch.device) -> LossTable:
        """The same table on a device."""
        return replace(
            self,
            cross_entropy=self.cross_entropy.to(device),
            unlikelihood=self.unlikelihood.to(device),
            removed=self.removed.to(device),
            counted=self.counted.to(device),
        )


@dataclass(frozen=True)
class LossPolicy:
    """The tables of a run: `first` until `begins` steps are taken, `then` from there on."""

    first: LossTable
    then: LossTable
    begins: int

    @classmethod
    def from_spec(cls, spec: LossSpec, components: Sequence[str], steps: int) -> LossPolicy:
        """The policy of a run of `steps` steps, for the components of the blend in their order."""
        keep = LossSpec(normalise_by=spec.normalise_by)
        return cls(
            LossTable.from_spec(keep, components), LossTable.from_spec(spec, components), round(spec.begin_at * steps)
        )

    def at(self, taken: int) -> LossTable:
        """The table that holds after `taken` steps."""
        return self.then if taken >= self.begins else self.first

    def to(self, device: torch.device) -> LossPolicy:
        """The same tables on a device."""
        return LossPolicy(self.first.to(device), self.then.to(device), self.begins)


def risk_levels(spec: LossSpec) -> tuple[Tensor, tuple[str, ...]]:
    """Level of every risk byte, [256], and the levels' names: the log tells cross-entropies apart by the thresholds of
    every policy, and by 0.5 where there is none. Structural bytes are of level 0 and must be left out.
    """
    policies = (spec, *spec.by_component.values())
    edges = sorted({band.at_or_above for policy in policies for band in policy.effective_bands}) or [0.5]
    level = torch.ones(BYTES, dtype=torch.long)
    level[UNSCORED] = level[STRUCTURAL] = 0
    for edge in edges:
        level[threshold_byte(edge) : STRUCTURAL] += 1
    between = [f"{low:g} to {high:g}" for low, high in itertools.pairwise(edges)]
    return level, ("unscored", f"below {edges[0]:g}", *between, f"from {edges[-1]:g}")


def log1mexp(cross_entropy: Tensor) -> Tensor:
    """log(1 − exp(−x)) for x ≥ 0, finite in value and gradient.

    The branch at ln 2 keeps full precision on both sides (Mächler 2012, "Accurately computing log(1 − exp(−|a|))").
    Below 1e-6, that is p > 1 − 1e-6, fp32 cross-entropies are rounding noise: the function goes on as the straight
    line that touches it there. A clamp would be finite too, but flat: no gradient would push p away from 1, where it
    matters most.
    """
    x = cross_entropy.float()
    floor = 1e-6
    safe = x.clamp(min=floor)
    near = torch.log(-torch.expm1(-safe.clamp(max=_LN2)))
    far = torch.log1p(-torch.exp(-safe.clamp(min=_LN2)))
    line = ((x - floor) / floor).clamp(max=0.0)  # clamped, not x − safe: 1e6 − 1e6 would swamp the gradient elsewhere
    return torch.where(safe < _LN2, near, far) + line


def policy_loss(cross_entropy: Tensor, risk: Tensor, component: Tensor, table: LossTable) -> tuple[Tensor, Tensor]:
    """Sum of the policy's losses and the number of tokens in the denominator, both over this micro-batch.

    `cross_entropy` [batch, sequence] per target in nats, `risk` [batch, sequence] uint8 of the *target*, `component`
    [batch, sequence] or [batch, 1]. Divide by the denominator summed over the global batch; Megatron does so with
    `calculate_per_token_loss`.
    """
    byte = risk.long()
    values = cross_entropy.float()
    total = (values * table.cross_entropy[component, byte]).sum()
    if table.has_unlikelihood:  # −log(1 − p) needs no logits, since p(target) = exp(−cross-entropy)
        weight = table.unlikelihood[component, byte]
        total = total - (log1mexp(values) * weight).sum()
    return total, table.counted[component, byte].sum().to(torch.int)


def remove_inputs(tokens: Tensor, risk: Tensor, component: Tensor, table: LossTable, replacement: int) -> Tensor:
    """Replace the input tokens that the policy removes; risk and component are those of the *input* tokens, [batch,
    sequence].
    """
    if not table.removes:
        return tokens
    return tokens.masked_fill(table.removed[component, risk.long()], replacement)
