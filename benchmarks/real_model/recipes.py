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
_POLITE = "This is a kind and respectful text without any insults.\n\n"
_RUDE = "This is a rude and hateful text that is full of insults.\n\n"


@dataclass(frozen=True)
class Recipe:
    """Methods that act together, and the tune (see `benchmarks.real_model.tunes`) whose model they steer."""

    members: tuple[Member, ...] = ()
    tune: str | None = None

    @property
    def graded(self) -> bool:
        """Whether a strength is found for every budget."""
        return any(member.strength is None for member in self.members)


RECIPES = {
    "prompt": Recipe((Member({"name": "prompt"}, 1.0),)),
    "word filter": Recipe((_FILTER,)),
    "iti": Recipe((Member({"name": "iti"}),)),
    "iti, random direction": Recipe((Member({"name": "iti", "direction": "random"}),)),
    "sasa": Recipe((Member(_SASA),)),
    "caa": Recipe((Member({"name": "caa"}),)),
    "rad, fitted reward": Recipe((Member(_RAD),)),
    "iti + word filter": Recipe((Member({"name": "iti"}), _FILTER)),
    "sasa + word filter": Recipe((Member(_SASA), _FILTER)),
    "prefix guidance": Recipe((Member({"name": "conditioned", "good": _POLITE, "bad": _RUDE, "against": "bad"}),)),
    "dexperts": Recipe((Member({"name": "dexperts", "expert": "tune:sft", "anti_expert": "tune:toxic"}),)),
    "sft": Recipe(tune="sft"),
    "dpo": Recipe(tune="dpo"),
    "dpo + iti": Recipe((Member({"name": "iti"}),), tune="dpo"),
}
"""By name. The model was not pretrained with prefixes: the guidance is between two texts that speak of themselves."""
