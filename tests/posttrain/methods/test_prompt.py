"""Prompts as plain text, and as a chat where the tokenizer has a template."""

from __future__ import annotations

import copy
import dataclasses

import pytest

from infra.errors import InputError
from posttrain.decoding.sampling import Sampling
from posttrain.methods.options import PromptArgs
from posttrain.methods.prompt import Prompt, opened_answer, prompt_tokens
from posttrain.model import CausalModel
from posttrain.steered import bind
from tests.helpers.brute_force import nats, tokens_of, written

CHATML = (
    "{{ eos_token }}{% for m in messages %}<{{ m.role }}>{{ m.content }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}" + CHATML
DROPS_SYSTEM = CHATML.replace("messages %}", "messages if m.role != 'system' %}")
ARGS = PromptArgs(text="be kind\n\n", request="write")


def chat_model(model: CausalModel, template: str) -> CausalModel:
    tokenizer = copy.deepcopy(model.tokenizer)
    tokenizer.chat_template = template
    return dataclasses.replace(model, tokenizer=tokenizer)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (CHATML, "E<system>be kindE<user>writeE<assistant>"),
        (NO_SYSTEM, "E<user>be kind\n\nwriteE<assistant>"),
        (DROPS_SYSTEM, "E<user>be kind\n\nwriteE<assistant>"),
    ],
)
def test_a_chat_is_opened_as_its_template_writes_it(model: CausalModel, template: str, expected: str) -> None:
    chat = chat_model(model, template)
    assert opened_answer(chat.tokenizer, "be kind", "write").replace("<|endoftext|>", "E") == expected
    ids = [chat.start, *prompt_tokens(chat, ARGS)]
    assert chat.tokenizer.decode(ids).replace("<|endoftext|>", "E") == expected
    assert ids.count(chat.end) == expected.count("E")  # marks of turns are special tokens


def test_a_chat_model_goes_on_with_the_assistants_answer(model: CausalModel) -> None:
    steered = bind(chat := chat_model(model, CHATML), Prompt.fit(chat, None, ARGS, 0), 1.0)
    prompts, sampling = ["the garden", "you"], Sampling(max_new_tokens=6, samples=2, seed=3)
    assert tokens_of(steered.generate(prompts, sampling)) == written(steered.stack, prompts, sampling)
    assert steered.cross_entropy(["shut up"]).nats[0] == pytest.approx(nats(steered.stack, "shut up"), rel=1e-5)


def test_a_chat_model_can_be_prompted_as_any_other(model: CausalModel) -> None:
    plain = tuple(model.encode([ARGS.text])[0])
    assert prompt_tokens(model, ARGS) == plain
    assert prompt_tokens(chat_model(model, CHATML), ARGS.model_copy(update={"chat": "never"})) == plain


def test_prompts_that_cannot_be_used_are_refused(model: CausalModel) -> None:
    with pytest.raises(InputError, match=r"template cannot be used \(nobody\); say chat: never"):
        Prompt.fit(chat_model(model, "{{ raise_exception('nobody') }}"), None, ARGS, 0)
    with pytest.raises(InputError, match="shorten it"):
        Prompt.fit(model, None, PromptArgs(text="be kind " * 40), 0)
