"""A setting: the budget or the strength at which a recipe is measured; what tells the cells of a method apart."""

from __future__ import annotations

from typing import NamedTuple


class Setting(NamedTuple):
    """A budget in nats per token (the strength is then found for every model), or a strength in the method's unit."""

    by_budget: bool
    value: float

    @property
    def label(self) -> str:
        """As it stands in names of steps."""
        return f"{self.value:g}nats" if self.by_budget else f"{self.value:g}"

    @property
    def words(self) -> str:
        """As it stands in sentences."""
        return f"at {self.value:g} nats" if self.by_budget else f"at strength {self.value:.3g}"
