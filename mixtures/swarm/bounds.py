"""Natural proportions and the limits of every share, out of a swarm's YAML."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mixtures.swarm.spec import SwarmSpec


@dataclass(frozen=True)
class Bounds:
    """Component by component: natural share, least share, greatest share."""

    names: tuple[str, ...]
    natural: tuple[float, ...]
    floor: tuple[float, ...]
    cap: tuple[float, ...]


def bounds_of(spec: SwarmSpec) -> Bounds:
    """The limits of `spec`. Raises ValueError where they leave no mixture at all."""
    names = tuple(spec.components)
    amounts = [float(component.tokens or component.natural or 0.0) for component in spec.components.values()]
    natural = tuple(amount / sum(amounts) for amount in amounts)
    floor = tuple(component.floor for component in spec.components.values())
    cap = tuple(_cap(spec, name, share) for name, share in zip(names, natural, strict=True))
    for name, low, high in zip(names, floor, cap, strict=True):
        if low > high:
            raise ValueError(f"components.{name}: its floor {low:g} is above its greatest share, {high:.4g}")
    if sum(floor) > 1:
        raise ValueError(f"components: their floors sum to {sum(floor):.4g}; they must stay within 1")
    if sum(cap) < 1:
        short = "raise a cap, max_epochs or times_natural, or train on fewer tokens"
        raise ValueError(f"components: all at their caps they make {sum(cap):.4g} of a mixture; {short}")
    return Bounds(names, natural, floor, cap)


def _cap(spec: SwarmSpec, name: str, natural: float) -> float:
    component, limits = spec.components[name], spec.limits
    caps = [component.cap]
    if limits.times_natural is not None:
        caps.append(limits.times_natural * natural)
    if limits.training_tokens is not None and component.tokens is not None:
        caps.append(limits.max_epochs * component.tokens / limits.training_tokens)
    return min(caps)
