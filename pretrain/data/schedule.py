"""The schedule of a run: its epochs over the mixture, and then, where it has a cooldown, its epochs over that.

By arithmetic alone, so that a plan counts the same steps as a run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from mixtures.reading.built import BuiltMixture
from mixtures.spec.mixture import PackingSpec

Streams: TypeAlias = tuple[tuple[int, ...], ...]
"""Tokens of each stream of documents that is cut into samples by itself, phase by phase."""


@dataclass(frozen=True)
class Epoch:
    """One time through the mixture's documents of one phase; `number` counts the epochs of a run,
    those of the cooldown on from those before it."""

    number: int
    cooldown: bool
    steps: int

    def order_seed(self, seed: int) -> int:
        """Seed of the order in this epoch of a run with `seed`: itself in the first, a hash of both in later ones,
        which no other seed's run shares (seed + number would be the first order of the next seed).
        """
        if not self.number:
            return seed
        return int.from_bytes(hashlib.blake2b(f"{seed}\0{self.number}".encode(), digest_size=4).digest(), "little")


def streams_of(mixture: BuiltMixture) -> Streams:
    """The streams of a built mixture: those before the cooldown, and those of the cooldown."""
    cooldown = [component.cooldown_tokens for component in mixture.components]
    before = [component.tokens - component.cooldown_tokens for component in mixture.components]
    return tuple(packed(tokens, mixture.packing) for tokens in (before, cooldown))


def packed(components: Iterable[int], packing: PackingSpec) -> tuple[int, ...]:
    """Tokens of each stream of one phase, of the components' tokens."""
    return (sum(components),) if packing.together == "all" else tuple(components)


def schedule_of(streams: Streams, sequence_length: int, epochs: int, global_batch_size: int) -> tuple[Epoch, ...]:
    """The epochs of a run, in order; every stream pads its own last sample."""
    schedule: list[Epoch] = []
    for cooldown, phase in enumerate(streams):
        samples = sum(-(-tokens // sequence_length) for tokens in phase)
        if steps := -(-samples // global_batch_size):
            schedule += [Epoch(len(schedule) + repetition, bool(cooldown), steps) for repetition in range(epochs)]
    return tuple(schedule)


def epoch_at(schedule: Sequence[Epoch], step: int) -> tuple[Epoch, int]:
    """The epoch that holds step `step` of the run, and the step's number in it."""
    for epoch in schedule:
        if step < epoch.steps:
            return epoch, step
        step -= epoch.steps
    raise AssertionError("the step lies behind the run")
