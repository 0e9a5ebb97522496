"""What a steering method is: it is fitted on labelled text once, and bound to a model at any strength afterwards.

A method has a file of this package, its arguments in `options.py` and a row in the package's table. It may put tokens
before every text (`prefix`), edit activations while the model runs (`editing`), choose tokens its own way (`advance`),
and must then say what its edited distribution gives to a text (`token_nats`). What it does not override is the plain
model's.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from infra.errors import InputError
from posttrain.methods.options import MethodArgs

if TYPE_CHECKING:
    import torch

    from posttrain.decoding.nucleus import Nucleus
    from posttrain.decoding.state import Decoding
    from posttrain.fitted import Fitted
    from posttrain.labelled import Labelled
    from posttrain.model import CausalModel


class Method(ABC):
    """A fitted method bound to a model at one strength. Strength 0 leaves the model as it is."""

    args: ClassVar[type[MethodArgs]]

    prefix: tuple[int, ...] = ()
    """Tokens put between the start token and every text."""
    branches: int = 0
    """Candidates that one decoding step holds in the cache beside the text."""

    def __init__(self, model: CausalModel, fitted: Fitted, strength: float) -> None:
        if strength < 0:
            raise InputError(f"{fitted.method}: the strength must be 0 or more, not {strength:g}")
        self.model, self.fitted, self.strength = model, fitted, strength

    @classmethod
    @abstractmethod
    def fit(cls, model: CausalModel, labelled: Labelled | None, args: Any, seed: int) -> Fitted:
        """Fit on labelled text (None for methods that need none)."""

    def editing(self, everywhere: bool = False) -> contextlib.AbstractContextManager[None]:
        """Edit activations while the context is open: at the last token of every forward, or at all of them."""
        return contextlib.nullcontext()

    def advance(
        self, state: Decoding, choices: Nucleus, draws: torch.Tensor, last: bool
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Choose the next token of each row and append it; returns tokens [rows] and the logits after them.

        `draws` [rows] are this step's uniform numbers. With `last` nothing follows, and no logits are needed.
        """
        tokens = choices.tokens.gather(-1, choices.pick(draws)[:, None])[:, 0]
        return tokens, None if last else state.extend(tokens)

    def token_nats(self, ids: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Negative log-probability of each target token, [rows, positions] float64, 0 where `targets` is False.

        `ids` are right-padded; `targets[row, t]` says that token t counts, given tokens 0 to t-1. It lies on the CPU:
        what counts is known before the model runs, and a GPU need not be waited for to count it.
        """
        from posttrain.token_nats import plain_token_nats

        return plain_token_nats(self.model, ids, targets)
