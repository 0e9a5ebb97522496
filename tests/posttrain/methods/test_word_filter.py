"""What the filter penalises is what its text-level definition says, whatever the tokenizer.

Covers posttrain.methods.word_automaton and posttrain.methods.token_texts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
import torch

from infra.errors import InputError
from posttrain.decoding.sampling import Sampling
from posttrain.methods.options import WordFilterArgs
from posttrain.methods.token_texts import bytes_of, token_texts
from posttrain.methods.word_automaton import WordAutomaton
from posttrain.methods.word_filter import WordFilter
from posttrain.model import CausalModel
from posttrain.steered import Steered, bind
from tests.helpers.brute_force import nats, tokens_of, written
from tests.helpers.tokenizers_of_kinds import KINDS, tokenizer_of

TEXTS = [
    "shut up you idiot today, Idiots! we assume the class passed the glass",
    "Shut  up. SHUT UP (ass) assume ass-hole shutter up idiotic the über Übel übel",
    "such an ugly idiot rant; it is a pass for us all, shut it up as as ass",
]
WORDS = ("idiot", "ass", "Shut up", "übel", "a-b", "@ss")
PROMPTS = ["you", "shut", "the garden", "what a stupid"]
CPU = torch.device("cpu")


@pytest.fixture(scope="module", params=KINDS)
def tokenizer(request: pytest.FixtureRequest) -> Any:
    return tokenizer_of(request.param, TEXTS * 20)


def automaton(tokenizer: Any, ignore_case: bool = True, whole_words: bool = True, words: Any = WORDS) -> WordAutomaton:
    return WordAutomaton(words, token_texts(tokenizer), ignore_case, whole_words, CPU)


def completing(tokenizer: Any, ids: Sequence[int], ignore_case: bool, whole_words: bool) -> set[int]:
    """Tokens after which the decoded text has a listed word that it had not, by regular expressions."""

    def normal(text: str) -> str:
        text = re.sub(r"\s+", " ", text)
        return text.casefold() if ignore_case else text

    def decoded(tokens: Sequence[int]) -> str:
        return normal(tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    patterns = []
    for word in map(normal, WORDS):
        before = r"(?<!\w)" if whole_words and word[0].isalnum() else ""
        after = r"(?!\w)" if whole_words and word[-1].isalnum() else ""
        patterns.append(re.compile(before + re.escape(word) + after))
    length = len(decoded(ids).rstrip("\ufffd"))
    return {
        token
        for token in range(len(tokenizer))
        for text in [decoded([*ids, token])]
        if any(match.end() > length for pattern in patterns for match in pattern.finditer(text))
    }


@pytest.mark.parametrize("whole_words", [True, False])
@pytest.mark.parametrize("ignore_case", [True, False])
def test_the_tokens_that_complete_a_word_are_those_of_the_definition(
    tokenizer: Any, ignore_case: bool, whole_words: bool
) -> None:
    follower = automaton(tokenizer, ignore_case, whole_words)
    penalised = 0
    for text in ["", *TEXTS[1:], "shut\nup in a-b and @ss by übel"]:
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        for length in range(0, len(ids) + 1, 2):
            state = reduce(follower.step, ids[:length], follower.start)
            expected = completing(tokenizer, ids[:length], ignore_case, whole_words)
            assert set(follower.penalised(state).tolist()) == expected, tokenizer.decode(ids[:length])
            penalised += len(expected)
    assert penalised > 50


def test_states_are_few_and_met_again(tokenizer: Any) -> None:
    follower = automaton(tokenizer)
    ids = tokenizer(" ".join(TEXTS * 3), add_special_tokens=False)["input_ids"]
    once = reduce(follower.step, ids, follower.start)
    count = len(follower.states)
    assert reduce(follower.step, ids, follower.start) == once
    assert len(follower.states) == count < len(ids) / 3


def test_a_token_that_is_no_text_changes_nothing(tokenizer: Any) -> None:
    follower = automaton(tokenizer)
    assert follower.step(follower.start, tokenizer.eos_token_id) == follower.start


@pytest.mark.parametrize(
    ("token", "expected"), [("<0xE2>", b"\xe2"), ("Ġa", b" a"), ("Ã¼", "ü".encode()), ("▁日", "▁日".encode())]
)
def test_bytes_are_read_off_a_vocabularys_own_spelling(token: str, expected: bytes) -> None:
    assert bytes_of(token) == expected


def filtered(model: CausalModel, strength: float, **args: Any) -> Steered:
    given = WordFilterArgs(**{"words": ("you", "shut up", "lunch"), **args})
    return bind(model, WordFilter.fit(model, None, given, 0), strength)


def test_at_50_nats_no_listed_word_is_written(model: CausalModel) -> None:
    sampling = Sampling(max_new_tokens=25, samples=40, seed=0)
    listed = re.compile(r"\b(e|a|the|in)\b")

    def count(steered: Steered) -> int:
        texts = [sample.text for row in steered.generate(["x "], sampling) for sample in row]
        return sum(len(listed.findall(f"x {text}")) for text in texts)

    banned = filtered(model, 50.0, words=("e", "a", "the", "in"))
    assert count(bind(model, None, 0)) > 3
    assert count(banned) == 0


def test_words_are_drawn_and_measured_by_the_definition(model: CausalModel) -> None:
    stack = filtered(model, 3.0).stack
    sampling = Sampling(max_new_tokens=6, samples=2, seed=3)
    assert tokens_of(Steered(stack).generate(PROMPTS, sampling)) == written(stack, PROMPTS, sampling)
    documents = ["shut up you fool today and go", "after lunch you"]
    measured = Steered(stack).cross_entropy(documents).nats
    assert measured.tolist() == pytest.approx([nats(stack, document) for document in documents], rel=1e-5)
    plain = bind(model, None, 0).cross_entropy(documents).nats
    assert (measured > plain).all()


def test_a_ban_leaves_cross_entropy_finite(model: CausalModel) -> None:
    measured = filtered(model, 60.0).cross_entropy(["shut up you fool"])
    assert 50 < measured.nats[0] < 500


def test_words_come_from_a_file_and_stay_in_the_fit(model: CausalModel, tmp_path: Path) -> None:
    file = tmp_path / "words.txt"
    file.write_text("# a remark\nidiot\n\n  shut   up \nidiot\n")
    fitted = WordFilter.fit(model, None, WordFilterArgs(words=("fool",), path=str(file)), 0)
    file.unlink()
    assert isinstance(fitted.args, WordFilterArgs)
    assert fitted.args.words == ("fool", "idiot", "shut up") and fitted.args.path is None
    assert fitted.facts.figures == {"listed_words": 3}
    assert bind(model, fitted, 1.0).stack.watching


def test_lists_without_a_word_are_refused(model: CausalModel, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="list words under `words`"):
        WordFilterArgs()
    with pytest.raises(InputError, match="cannot be read as a list of words"):
        WordFilter.fit(model, None, WordFilterArgs(path=str(tmp_path / "none.txt")), 0)
    (tmp_path / "empty.txt").write_text("# nothing\n")
    with pytest.raises(InputError, match="no word is listed"):
        WordFilter.fit(model, None, WordFilterArgs(path=str(tmp_path / "empty.txt")), 0)
