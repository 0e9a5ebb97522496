"""Chats: what of them is learned, how sources are mixed, and the template that a base model gets.

Covers posttrain.tuning.chat.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from transformers import AutoTokenizer

from infra.errors import AmountError
from posttrain.model import CausalModel, load_model
from posttrain.tuning.base import IGNORED
from posttrain.tuning.chat import TEMPLATE, Message, encode_chat, messages_of, with_template
from posttrain.tuning.instruct import shares
from posttrain.tuning.options import ChatSourceSpec
from tests.posttrain.tuning.conftest import tune

CHAT = (
    Message("system", "be kind"),
    Message("user", "the garden?"),
    Message("assistant", "it was lovely"),
    Message("user", "again"),
    Message("assistant", "thank you"),
)


@pytest.fixture
def chatty(learned_folder: Path) -> CausalModel:
    model = load_model(str(learned_folder), "cpu")
    with_template(model.tokenizer)
    return model


def chats(file: Path, records: list[Any]) -> str:
    file.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(file)


def test_only_the_assistants_turns_bear_the_loss(chatty: CausalModel) -> None:
    text = encode_chat(chatty, CHAT, 96)
    learned = [label for label in text.labels if label != IGNORED]
    assert chatty.tokenizer.decode(learned) == "it was lovely<|endoftext|>\nthank you<|endoftext|>\n"
    assert text.ids[0] == chatty.start and text.labels[0] == IGNORED
    whole = "<|system|>\nbe kind\n<|user|>\nthe garden?\n<|assistant|>\nit was lovely<|endoftext|>\n<|user|>\nagain\n"
    assert chatty.tokenizer.decode(text.ids[1:]) == whole + "<|assistant|>\nthank you<|endoftext|>\n"
    assert all(label in (IGNORED, token) for token, label in zip(text.ids, text.labels, strict=True))


def test_an_answer_is_learned_after_exactly_what_a_prompt_ends_with(chatty: CausalModel) -> None:
    text = encode_chat(chatty, CHAT[:3], 96)
    first = next(index for index, label in enumerate(text.labels) if label != IGNORED)
    turns = [{"role": message.role, "content": message.content} for message in CHAT[:2]]
    prompt = chatty.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    asked = chatty.tokenizer(prompt, add_special_tokens=False)["input_ids"]
    assert "".join(chatty.tokenizer.convert_ids_to_tokens(text.ids[1:first])) == "".join(
        chatty.tokenizer.convert_ids_to_tokens(asked)
    )


def test_what_is_no_chat() -> None:
    good = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    assert messages_of(good) == (Message("user", "a"), Message("assistant", "b"))
    for bad in (None, "a", [], good[:1], [{"role": "tool", "content": "a"}, *good], [{"role": "assistant"}]):
        assert messages_of(bad) is None


def test_shares_add_up_by_largest_remainders() -> None:
    assert shares([1, 1, 1], 10) == [4, 3, 3]
    assert shares([0.7, 0.3], 10) == [7, 3]
    assert shares([2.0], 5) == [5]


def test_sources_are_mixed_by_fractions(learned_folder: Path, tmp_path: Path) -> None:
    many = [{"messages": [{"role": "user", "content": f"q {n}"}, {"role": "assistant", "content": "we walked"}]}
            for n in range(20)]  # fmt: skip
    spoilt = [
        {"messages": [{"role": "user", "content": "nobody answers"}]},
        {"messages": [{"role": "assistant", "content": "<|endoftext|>"}]},
    ]
    few = [{"ask": f"r {n}", "say": "thank you"} for n in range(6)]
    sources = [
        {"path": chats(tmp_path / "many.jsonl", spoilt + many), "fraction": 0.75},
        {"path": chats(tmp_path / "few.jsonl", few), "fraction": 0.25, "messages": None, "prompt": "ask",
         "response": "say"},
    ]  # fmt: skip
    method = {"name": "instruct", "sources": sources, "examples": 16, "batch_size": 8, "learning_rate": 1e-3}
    tuned = tune(tmp_path / "tuned", learned_folder, method)
    assert tuned.counts["examples"] == 16 and tuned.counts["steps"] == 4
    assert tuned.notes == (
        "left out: 1 chats that spell a special token", "left out: 1 records that are no chat with an answer",
    )  # fmt: skip
    assert AutoTokenizer.from_pretrained(tuned.path / "hf").chat_template == TEMPLATE
    assert load_model(str(tuned.path), "cpu").tokenizer.chat_template == TEMPLATE
    with pytest.raises(AmountError, match=r"few\.jsonl: 6 chats, and its share of `examples` is 7"):
        tune(tmp_path / "more", learned_folder, method | {"examples": 28, "sources": sources[::-1]})


def test_a_source_is_of_one_form() -> None:
    for keys in ({"prompt": "a", "response": "b"}, {"messages": None}, {"messages": None, "prompt": "a"}):
        with pytest.raises(ValidationError, match="either `messages`, or"):
            ChatSourceSpec(path="x", **keys)
