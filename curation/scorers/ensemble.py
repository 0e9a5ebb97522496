"""The scorer `ensemble`: several scorers asked about the same text, their answers put together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from curation.scorers import card_of, load_scorer, weights_of
from curation.scorers.base import Card, Scorer
from curation.scorers.options import EnsembleSpec
from infra.artifacts.fingerprint import digest
from infra.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Ensemble(Scorer):
    """Mean or maximum over scorers."""

    options = EnsembleSpec

    def __init__(self, spec: EnsembleSpec, members: list[Scorer]) -> None:
        shared = [name for name in members[0].attributes if all(name in member.attributes for member in members)]
        if not shared:
            have = "; ".join(f"{member.identity} has {', '.join(member.attributes)}" for member in members)
            raise InputError(f"an ensemble needs an attribute that all its scorers have: {have}")
        self._spec, self._members = spec, members
        self._columns = [[member.attributes.index(name) for name in shared] for member in members]
        self.attributes = tuple(shared)
        self.identity = f"{spec.combine}({', '.join(member.identity for member in members)})"

    @property
    def full_identity(self) -> str:
        """Of all members."""
        return f"{self._spec.combine}({', '.join(member.full_identity for member in self._members)})"

    @classmethod
    def load(cls, spec: EnsembleSpec) -> Ensemble:
        """Load every member."""
        return cls(spec, [load_scorer(member) for member in spec.scorers])

    @classmethod
    def weights(cls, spec: EnsembleSpec) -> str:
        """Over the members' weights and the way they are put together."""
        return digest([[weights_of(member) for member in spec.scorers], spec.combine, spec.weights])

    @staticmethod
    def card(spec: EnsembleSpec) -> Card:
        """Languages that all members have; every member's blind spots."""
        cards = [card_of(member) for member in spec.scorers]
        shared = tuple(language for language in cards[0].languages if all(language in card.languages for card in cards))
        return Card(shared, "; ".join(dict.fromkeys(card.blind_spots for card in cards)))

    def known_words(self, text: str) -> tuple[int, int]:
        """Those of the member that knows the smallest share: its guess would go into the mean unseen."""
        known = [counts for member in self._members if (counts := member.known_words(text))[1]]
        return min(known, key=lambda counts: counts[0] / counts[1], default=(0, 0))

    def _raw_scores(self, texts: list[str]) -> NDArray[np.float32]:
        table = np.stack([member.score(texts)[:, columns]
                          for member, columns in zip(self._members, self._columns, strict=True)])  # fmt: skip
        if self._spec.combine == "max":
            return table.max(axis=0)
        return np.average(table, axis=0, weights=self._spec.weights).clip(0, 1)
