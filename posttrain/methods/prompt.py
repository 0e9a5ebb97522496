"""Detoxification by prompt: two sentences before every text that ask for respectful output.

One of the methods that Li et al. 2025 (arXiv 2505.04741) compare. The wording is ours. The paper's prompt has two
sentences too and asks for the same things, but models trained on it verbatim would not be comparable anyway; give the
paper's string as `text` to repeat its runs.
"""

from __future__ import annotations

from infra.errors import InputError
from posttrain.fitted import FitFacts, Fitted
from posttrain.labelled import Labelled
from posttrain.methods.base import Method
from posttrain.methods.options import PromptArgs
from posttrain.model import CausalModel


class Prompt(Method):
    """The prompt is on at any strength above 0. Only the text after it is generated, scored and counted."""

    args = PromptArgs

    def __init__(self, model: CausalModel, fitted: Fitted, strength: float) -> None:
        super().__init__(model, fitted, strength)
        assert isinstance(fitted.args, PromptArgs)
        self.prefix = tuple(model.encode([fitted.args.text])[0])

    @classmethod
    def fit(cls, model: CausalModel, labelled: Labelled | None, args: PromptArgs, seed: int) -> Fitted:
        """Nothing to fit; refuses a prompt that fills half of the model's context."""
        tokens = len(model.encode([args.text])[0])
        if 2 * tokens > model.max_positions:
            raise InputError(f"the prompt has {tokens} tokens, and the model reads {model.max_positions}; shorten it")
        return Fitted.of(model, args, {}, FitFacts(prompt_tokens=tokens))
