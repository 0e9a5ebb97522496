"""Chats as token ids: rendered by the tokenizer's template, turn by turn, with the loss on what the assistant says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from posttrain.tuning.base import IGNORED, TextExample

if TYPE_CHECKING:
    from posttrain.model import CausalModel

ROLES = ("system", "user", "assistant")

TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>\\n' + message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}{{ '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"
)
"""Tulu's form (Ivison et al. 2023, arXiv 2311.10702): `<|user|>`, a line end, the text, a line end. The marks of roles
are ordinary text, so that no token is added to the model; the end-of-text token ends each answer.
"""


@dataclass(frozen=True)
class Message:
    """One turn."""

    role: str
    content: str


def messages_of(value: Any) -> tuple[Message, ...] | None:
    """A list of `{role, content}` as messages; None where it is not one of those, or has no answer in it."""
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        return None
    turns = [(item.get("role"), item.get("content")) for item in value]
    if not all(role in ROLES and isinstance(content, str) for role, content in turns):
        return None
    messages = tuple(Message(str(role), str(content)) for role, content in turns)
    return messages if any(message.role == "assistant" for message in messages) else None


def with_template(tokenizer: Any) -> None:
    """Give a tokenizer that has no chat template the one above."""
    if getattr(tokenizer, "chat_template", None) is None:
        tokenizer.chat_template = TEMPLATE


def encode_chat(model: CausalModel, messages: Sequence[Message], max_tokens: int) -> TextExample:
    """Token ids of a chat after the start token, cut after `max_tokens`, labels on the assistant's turns.

    A turn's tokens are those of the text that it adds, encoded by itself: just so the model meets a prompt that ends
    where an answer begins.
    """
    ids, labels, text = [model.start], [IGNORED], ""
    for number, message in enumerate(messages):
        answers = message.role == "assistant"
        if answers:
            opened = _render(model.tokenizer, messages[:number], generate=True)
            _extend(model, ids, labels, opened.removeprefix(text), answers=False)
            text = opened
        whole = _render(model.tokenizer, messages[: number + 1], generate=False)
        _extend(model, ids, labels, whole.removeprefix(text), answers)
        text = whole
    return TextExample(ids[:max_tokens], labels[:max_tokens])


def _render(tokenizer: Any, messages: Sequence[Message], generate: bool) -> str:
    turns = [{"role": message.role, "content": message.content} for message in messages]
    rendered: str = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=generate)
    return rendered


def _extend(model: CausalModel, ids: list[int], labels: list[int], text: str, answers: bool) -> None:
    """Add a turn's text. Marks of the template that are special tokens are encoded as such."""
    (encoded,) = model.encode([text], special=True)
    if len(ids) == 1 and encoded[:1] == ids:
        encoded = encoded[1:]  # a template that writes the start token itself
    ids += encoded
    labels += encoded if answers else [IGNORED] * len(encoded)


def spells_special(tokenizer: Any, messages: Sequence[Message]) -> bool:
    """Whether a message contains the text of a special token, which would be read as that token."""
    return any(token in message.content for message in messages for token in tokenizer.all_special_tokens)
