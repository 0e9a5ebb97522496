"""Several bound methods as one: what decoding draws from and what cross-entropy measures."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from infra.errors import InputError
from posttrain.methods.base import EditedPositions, Method, Stream
from posttrain.model import CausalModel


@dataclass(frozen=True)
class Stack:
    """Methods on one model, in order; without any it is the plain model.

    Prefixes stand one behind the other, edits act together, streams and penalties add up, and what looks at candidates
    looks at the same ones, those of the distribution that the others have made.
    """

    model: CausalModel
    methods: tuple[Method, ...] = ()

    @staticmethod
    def of(model: CausalModel, methods: tuple[Method, ...]) -> Stack:
        """Those that do something. Raises InputError where two need the candidates' hidden states of unlike models."""
        active = tuple(method for method in methods if method.strength > 0)
        judges = {id(method.judge) for method in active if method.candidates}
        if len(judges) > 1:
            raise InputError("methods that look at candidates through unlike models cannot be stacked")
        return Stack(model, active)

    @property
    def prefix(self) -> tuple[int, ...]:
        """Tokens between the start token and every text."""
        return tuple(token for method in self.methods for token in method.prefix)

    @property
    def streams(self) -> tuple[Stream, ...]:
        """Further passes, each behind the stack's prefix and its own."""
        return tuple(
            Stream(stream.model, stream.weight, (*self.prefix, *stream.prefix))
            for method in self.methods
            for stream in method.streams
        )

    @property
    def own_weight(self) -> float:
        """Weight of the model's own logits."""
        return 1.0 + sum(method.own_weight for method in self.methods)

    @property
    def longest_prefix(self) -> int:
        """Tokens of the longest prefix of any pass."""
        return max(len(self.prefix), *(len(stream.prefix) for stream in self.streams), 0)

    @property
    def models(self) -> tuple[CausalModel, ...]:
        """The model of every pass."""
        judge = () if self.judge is None else (self.judge,)
        return (self.model, *(stream.model for stream in self.streams), *judge)

    @property
    def max_positions(self) -> int:
        """Positions that every pass has room for."""
        return min(model.max_positions for model in self.models)

    @property
    def watching(self) -> tuple[Method, ...]:
        """Methods that penalise tokens by what has been written."""
        return tuple(method for method in self.methods if method.automaton is not None)

    @property
    def looking(self) -> tuple[Method, ...]:
        """Methods that look at candidates."""
        return tuple(method for method in self.methods if method.candidates)

    @property
    def candidates(self) -> int:
        """Most candidates of a step; 0 where none are looked at."""
        vocabulary = self.model.network.config.vocab_size
        return min(vocabulary, max((method.candidates for method in self.looking), default=0))

    @property
    def candidate_mass(self) -> float:
        """Probability at which no further candidates are looked at."""
        return max((method.candidate_mass for method in self.looking), default=1.0)

    @property
    def measured_positions(self) -> int:
        """Positions of a text where the candidates' effect on cross-entropy is measured."""
        return max((method.measured_positions for method in self.looking), default=0)

    @property
    def judge(self) -> CausalModel | None:
        """The model that judges candidates where it is not the steered one."""
        return next((method.judge for method in self.looking), None)

    @property
    def branches(self) -> int:
        """Room for candidates that a step needs in the cache beside the text."""
        return self.candidates

    def bonus(self, hidden: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
        """Sum of the methods' bonuses; shapes as in `Method.bonus`."""
        return torch.stack([method.bonus(hidden, inside) for method in self.looking]).sum(0)

    @contextlib.contextmanager
    def editing(self, positions: EditedPositions) -> Iterator[None]:
        """All edits of activations, while the context is open."""
        with contextlib.ExitStack() as stack:
            for method in self.methods:
                stack.enter_context(method.editing(positions))
            yield
