"""A recipe: which fitted methods act together on a model, at which strengths. Light to import."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from infra.config.identity import NotIdentity
from infra.config.spec import Location, Spec
from infra.errors import InputError


class RecipeEntry(Spec):
    """One fitted method of a recipe."""

    steering: Annotated[Location, NotIdentity]
    """Posttrain artifact."""
    strength: float = Field(1.0, ge=0)
    """In the method's own unit (ITI: α, SASA: β); 0 leaves the method out."""


Recipe = tuple[RecipeEntry, ...]


def parse_recipe(text: str) -> Recipe:
    """A recipe as a command line writes it: `FOLDER@STRENGTH`, or several with commas between; 1 without a strength.

    Raises InputError for a strength that is no number of 0 or more.
    """
    entries = []
    for entry in text.split(","):
        folder, at, strength = entry.strip().rpartition("@")
        if not at:
            folder, strength = strength, "1"
        try:
            if not folder:
                raise ValueError(folder)
            entries.append(RecipeEntry(steering=folder, strength=float(strength)))
        except ValueError:
            raise InputError(
                f"{entry!r} is no part of a recipe: FOLDER@STRENGTH, where the strength is 0 or more"
            ) from None
    return tuple(entries)
