"""What is measured on the real model: the methods of every recipe."""

from __future__ import annotations

from dataclasses import dataclass

BUDGETS = (0.02, 0.05, 0.1, 0.2)
"""Nats per token above the unsteered model, on the texts on which strengths are found."""
BAN = 50.0
"""Nats off a listed word's logit that amount to a ban."""
LISTED = 100
"""Words of the filter: those that tell the toxic labelled texts from the others best (see `telling_words`)."""


@dataclass(frozen=True)
class Part:
    """A method with its options. `strength` None: set by the budgets."""

    method: dict[str, object]
    strength: float | None = None


_SASA = {"name": "sasa", "cross_entropy_positions": 8}
_RAD = {"name": "rad", "cross_entropy_positions": 8}
_FILTER = Part({"name": "word_filter"}, BAN)

RECIPES: dict[str, tuple[Part, ...]] = {
    "prompt": (Part({"name": "prompt"}, 1.0),),
    "word filter": (_FILTER,),
    "iti": (Part({"name": "iti"}),),
    "iti, random direction": (Part({"name": "iti", "direction": "random"}),),
    "sasa": (Part(_SASA),),
    "caa": (Part({"name": "caa"}),),
    "rad, fitted reward": (Part(_RAD),),
    "iti + word filter": (Part({"name": "iti"}), _FILTER),
    "sasa + word filter": (Part(_SASA), _FILTER),
}
