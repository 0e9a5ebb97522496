"""A run as a row of passes: every epoch over the mixture, and then, where it has a cooldown, every epoch over that.

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
    """One time through the mixture's documents of one phase; `number` counts the passes of a run."""

    number: int
    cooldown: bool
    steps: int

    def order_seed(self, seed: int) -> int:
        """Seed of the order in this pass of a run with `seed`: itself in the first, a hash of both in later ones, which
        no other seed's run shares (seed + number would be the first order of the next seed).
        """
        if not self.number:
            return seed
        return int.from_bytes(hashlib.blake2b(f"{seed}\0{self.number}".encode(), digest_size=4).digest(), "little")


def streams_of(mixture: BuiltMixture) -> Streams:
    """The streams of a built mixture: those before the cooldown, and those of the cooldown."""
    cooldown = [part.cooldown_tokens for part in mixture.components]
    before = [part.tokens - part.cooldown_tokens for part in mixture.components]
    return tuple(packed(tokens, mixture.packing) for tokens in (before, cooldown))


def packed(components: Iterable[int], packing: PackingSpec) -> tuple[int, ...]:
    """Tokens of each stream of one phase, of the components' tokens."""
    return (sum(components),) if packing.together == "all" else tuple(components)


def passes_of(streams: Streams, sequence_length: int, epochs: int, global_batch_size: int) -> tuple[Epoch, ...]:
    """The passes of a run, in order; every stream pads its own last sample."""
    samples = [sum(-(-tokens // sequence_length) for tokens in phase) for phase in streams]
    phases = [(number > 0, -(-each // global_batch_size)) for number, each in enumerate(samples)]
    row = [phase for phase in phases if phase[1] for _ in range(epochs)]
    return tuple(Epoch(number, cooldown, steps) for number, (cooldown, steps) in enumerate(row))


def place_of(passes: Sequence[Epoch], step: int) -> tuple[Epoch, int]:
    """The pass that holds step `step` of the run, and the step's number in it."""
    for each in passes:
        if step < each.steps:
            return each, step
        step -= each.steps
    raise AssertionError("the step lies behind the run")
