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
class Member:
    """A method with its options. `strength` None: set by the budgets."""

    method: dict[str, object]
    strength: float | None = None


_SASA = {"name": "sasa", "cross_entropy_positions": 8}
_RAD = {"name": "rad", "cross_entropy_positions": 8}
_FILTER = Member({"name": "word_filter"}, BAN)

RECIPES: dict[str, tuple[Member, ...]] = {
    "prompt": (Member({"name": "prompt"}, 1.0),),
    "word filter": (_FILTER,),
    "iti": (Member({"name": "iti"}),),
    "iti, random direction": (Member({"name": "iti", "direction": "random"}),),
    "sasa": (Member(_SASA),),
    "caa": (Member({"name": "caa"}),),
    "rad, fitted reward": (Member(_RAD),),
    "iti + word filter": (Member({"name": "iti"}), _FILTER),
    "sasa + word filter": (Member(_SASA), _FILTER),
}
