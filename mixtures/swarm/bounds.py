"""What a swarm's YAML says of components, and what follows: natural proportions and the limits of every share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from infra.config.spec import Spec


class SwarmComponentSpec(Spec):
    """One component: how much of it there is by nature, and the share of the mixture that it may take."""

    tokens: Annotated[int, Field(ge=1, strict=True)] | None = None
    """Tokens there are; the natural proportions follow from them. Give it for every component, or for none."""
    natural: float | None = Field(None, gt=0, le=1)
    """Natural share, where the tokens are not known; the shares sum to 1."""
    floor: float = Field(0.0, ge=0, lt=1)
    """Share that it has at least, in samples and in the optimum."""
    cap: float = Field(1.0, gt=0, le=1)
    """Share that it has at most, in samples and in the optimum."""


class LimitsSpec(Spec):
    """Repetition caps: what holds for every component beside its own floor and cap."""

    times_natural: float | None = Field(None, ge=1)
    """No share above this many times the natural one (RegMix, arXiv 2407.01492, takes 15)."""
    training_tokens: Annotated[int, Field(ge=1, strict=True)] | None = None
    """Tokens of the training run that the mixture is for: no component is repeated more than `max_epochs` times."""
    max_epochs: float = Field(4.0, gt=0)
    """How often a component may be repeated in those tokens."""


@dataclass(frozen=True)
class Bounds:
    """Component by component: natural share, least share, greatest share."""

    names: tuple[str, ...]
    natural: tuple[float, ...]
    floor: tuple[float, ...]
    cap: tuple[float, ...]


def bounds_of(components: Mapping[str, SwarmComponentSpec], limits: LimitsSpec) -> Bounds:
    """The bounds of every component. Raises ValueError where they leave no mixture at all."""
    names = tuple(components)
    amounts = [float(component.tokens or component.natural or 0.0) for component in components.values()]
    natural = tuple(amount / sum(amounts) for amount in amounts)
    floor = tuple(component.floor for component in components.values())
    cap = tuple(_cap(component, limits, share) for component, share in zip(components.values(), natural, strict=True))
    for name, low, high in zip(names, floor, cap, strict=True):
        if low > high:
            raise ValueError(f"components.{name}: its floor {low:g} is above its greatest share, {high:.4g}")
    if sum(floor) > 1:
        raise ValueError(f"components: their floors sum to {sum(floor):.4g}; they must stay within 1")
    if sum(cap) < 1:
        short = "raise a cap, max_epochs or times_natural, or train on fewer tokens"
        raise ValueError(f"components: all at their caps they make {sum(cap):.4g} of a mixture; {short}")
    return Bounds(names, natural, floor, cap)


def _cap(component: SwarmComponentSpec, limits: LimitsSpec, natural: float) -> float:
    caps = [component.cap]
    if limits.times_natural is not None:
        caps.append(limits.times_natural * natural)
    if limits.training_tokens is not None and component.tokens is not None:
        caps.append(limits.max_epochs * component.tokens / limits.training_tokens)
    return min(caps)
