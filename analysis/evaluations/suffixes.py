"""What a search for a suffix comes to, and where in a text the suffix stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from infra.errors import DataError


@dataclass(frozen=True)
class Suffix:
    """What a search has come to. `loss` is the search's own, nats per target token on the model that it attacked;
    `same_tokens` says whether request and suffix together are encoded as the tokens that were sought.
    """

    text: str
    loss: float
    same_tokens: bool


@dataclass(frozen=True)
class Failure:
    """Why there is no suffix."""

    reason: str


def in_chat(tokenizer: Any, text: str) -> str:
    """A user's message in the tokenizer's chat template, up to where the reply begins, without the start token."""
    if not tokenizer.chat_template:
        raise DataError("chat: true, and the tokenizer has no chat template")
    message = [{"role": "user", "content": text}]
    whole: str = tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True)
    return whole.removeprefix(tokenizer.bos_token or "")
