"""What a steering method is: it is fitted on labelled text once, and bound to a model at any strength afterwards.

A method has a file of this package, its arguments in `options.py` and a row in the package's table. It says what it
changes and draws nothing itself: the tokens before every text (`prefix`), activations while the model runs (`editing`),
logits by further passes (`streams`) or by what has been written (`automaton`), the weights of the likeliest tokens by
what they would lead to (`bonus`). Several methods make a `posttrain.stack.Stack`; decoding and cross-entropy take that.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from infra.errors import InputError
from posttrain.methods.options import MethodArgs

if TYPE_CHECKING:
    import torch

    from posttrain.fitted import Fitted
    from posttrain.labelled import Labelled
    from posttrain.model import CausalModel


@dataclass
class EditedPositions:
    """Where in a forward pass activations are edited: at the last position, as while decoding, or at all of them, as in
    a tree of candidates and in cross-entropy. Whoever runs the network sets it before a pass.
    """

    everywhere: bool = False


@dataclass(frozen=True)
class Stream:
    """A further pass over every text, behind a prefix of its own; its logits are added `weight` times."""

    model: CausalModel
    weight: float
    prefix: tuple[int, ...] = ()


class TokenAutomaton(Protocol):
    """Follows a text token by token and says which tokens are penalised next."""

    start: int
    """State before any token of a text."""

    def step(self, state: int, token: int) -> int:
        """The state after one more token."""

    def penalised(self, state: int) -> torch.Tensor:
        """Ids of the tokens that are penalised in a state; on the model's device, as every step asks for them."""


class Method(ABC):
    """A fitted method bound to a model at one strength. Strength 0 leaves the model as it is: a stack drops it."""

    args: ClassVar[type[MethodArgs]]

    prefix: tuple[int, ...] = ()
    """Tokens put between the start token and every text."""
    streams: tuple[Stream, ...] = ()
    """Further passes whose logits are added."""
    own_weight: float = 0.0
    """What is added to the weight 1 of the model's own logits, beside the streams'."""
    automaton: TokenAutomaton | None = None
    """Which tokens are penalised, by `penalty`, given what has been written."""
    penalty: float = 0.0
    """Nats taken off a penalised token's logit."""
    candidates: int = 0
    """Likeliest tokens that `bonus` looks at in a step; 0 looks at none."""
    candidate_mass: float = 1.0
    """Probability at which it stops looking at further candidates."""
    measured_positions: int = 32
    """Positions of a text where the effect of `bonus` on cross-entropy is measured."""
    judge: CausalModel | None = None
    """The model whose hidden states `bonus` reads; None is the steered one."""

    def __init__(self, model: CausalModel, fitted: Fitted, strength: float) -> None:
        if not strength >= 0:
            raise InputError(f"{fitted.method}: the strength must be 0 or more, not {strength:g}")
        self.model, self.fitted, self.strength = model, fitted, strength

    @classmethod
    def completed(cls, args: Any, location: str) -> Any:
        """The arguments with what is to be read of the artifact of the model at `location`, before anything is loaded.

        Raises InputError where it says nothing.
        """
        return args

    @classmethod
    @abstractmethod
    def fit(cls, model: CausalModel, labelled: Labelled | None, args: Any, seed: int) -> Fitted:
        """Fit on labelled text (None for methods that need none)."""

    def editing(self, positions: EditedPositions) -> contextlib.AbstractContextManager[None]:
        """Edit activations while the context is open, at the positions that `positions` says before each pass."""
        return contextlib.nullcontext()

    def bonus(self, hidden: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
        """Nats added to the logits of the candidates `inside`, [rows, K] float64.

        `hidden` [rows, K, hidden size] is the judge's final hidden state at each candidate, `inside` [rows, K] bool.
        """
        raise NotImplementedError(f"{type(self).__name__} looks at no candidates")
