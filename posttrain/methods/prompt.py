"""Detoxification by prompt: two sentences before every text that ask for respectful output.

One of the methods that Li et al. 2025 (arXiv 2505.04741) compare. The wording is ours. The paper's prompt has two
sentences too and asks for the same things, but models trained on it verbatim would not be comparable anyway; give the
paper's string as `text` to repeat its runs.

A chat model gets it as its system message, and what is continued or measured is the beginning of the assistant's
answer. The text is no user's turn: the model would answer it, and no cross-entropy of a text could be compared with
what is written after it. So the distribution that is drawn from is the one that is measured, as for every method.
"""

from __future__ import annotations

from typing import Any

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
        self.prefix = prompt_tokens(model, fitted.args)

    @classmethod
    def fit(cls, model: CausalModel, labelled: Labelled | None, args: PromptArgs, seed: int) -> Fitted:
        """Nothing to fit; refuses a prompt that fills half of the model's context."""
        tokens = len(prompt_tokens(model, args))
        if 2 * tokens > model.max_positions:
            raise InputError(f"the prompt has {tokens} tokens, and the model reads {model.max_positions}; shorten it")
        return Fitted.of(model, args, {}, FitFacts(prompt_tokens=tokens))


def prompt_tokens(model: CausalModel, args: PromptArgs) -> tuple[int, ...]:
    """Tokens between the start token and every text."""
    if args.chat == "never" or not getattr(model.tokenizer, "chat_template", None):
        return tuple(model.encode([args.text])[0])
    opened = opened_answer(model.tokenizer, args.text.strip(), args.request)
    ids = tuple(model.encode([opened], special=True)[0])  # the marks of turns are special tokens
    return ids[1:] if ids[:1] == (model.start,) else ids  # many templates write the start token themselves


def opened_answer(tokenizer: Any, system: str, request: str) -> str:
    """A chat up to where the assistant's answer begins; where a template knows no system turn, the user says both."""
    from jinja2.exceptions import TemplateError

    user_alone = [{"role": "user", "content": f"{system}\n\n{request}"}]
    turns = [{"role": "system", "content": system}, {"role": "user", "content": request}]
    try:
        rendered = str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))
        if system in rendered:  # some templates drop a system turn in silence
            return rendered
    except TemplateError:
        pass
    try:
        return str(tokenizer.apply_chat_template(user_alone, tokenize=False, add_generation_prompt=True))
    except TemplateError as error:
        raise InputError(f"prompt: the tokenizer's chat template cannot be used ({error}); say chat: never") from None
