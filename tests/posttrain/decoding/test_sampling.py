"""Decoding: equal to Hugging Face where both are defined, and independent of batching everywhere.

Covers posttrain.decoding.sampling, posttrain.decoding.state, posttrain.decoding.cache and posttrain.methods.none.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from infra.errors import InputError
from posttrain.decoding.sampling import Sampling
from posttrain.model import CausalModel
from posttrain.steered import Steered, bind

PROMPTS = [
    "the garden",
    "you",
    "after lunch we walked to the river with friends",
    "a calm and kind",
    "shut up",
    "by noon",
]
SHORT = Sampling(max_new_tokens=12, samples=3, seed=5)


def tokens(steered: Steered, prompts: list[str], sampling: Sampling, indices: list[int] | None = None) -> list:
    return [[sample.tokens for sample in row] for row in steered.generate(prompts, sampling, indices=indices)]


@pytest.fixture(params=["model", "gqa_model", "neox_model"])
def any_model(request: pytest.FixtureRequest) -> CausalModel:
    return request.getfixturevalue(request.param)


def test_greedy_decoding_in_one_padded_batch_equals_hugging_face_row_by_row(any_model: CausalModel) -> None:
    ours = bind(any_model, None, 0).generate(PROMPTS, Sampling(max_new_tokens=10, temperature=0.0))
    for prompt, (generation,) in zip(PROMPTS, ours, strict=True):
        ids = torch.tensor([[any_model.start, *any_model.encode([prompt])[0]]])
        theirs = any_model.network.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=10, do_sample=False, pad_token_id=any_model.end
        )[0, ids.shape[1] :].tolist()
        expected = theirs[: theirs.index(any_model.end)] if any_model.end in theirs else theirs
        assert list(generation.tokens) == expected
        assert generation.text == any_model.decode(expected)


def test_a_tiny_nucleus_is_greedy(model: CausalModel) -> None:
    steered = bind(model, None, 0)
    greedy = tokens(steered, PROMPTS, Sampling(max_new_tokens=10, temperature=0.0))
    assert tokens(steered, PROMPTS, Sampling(max_new_tokens=10, top_p=1e-6)) == greedy


def test_a_text_does_not_depend_on_the_rest_of_the_batch(model: CausalModel, monkeypatch: pytest.MonkeyPatch) -> None:
    steered = bind(model, None, 0)
    together = tokens(steered, PROMPTS, SHORT)
    alone = [tokens(steered, [prompt], SHORT, [index])[0] for index, prompt in enumerate(PROMPTS)]
    assert alone == together
    monkeypatch.setattr("posttrain.decoding.sampling.ROWS_PER_BATCH", 4)  # cuts through the samples of one prompt
    assert tokens(steered, PROMPTS, SHORT) == together


def test_samples_and_seeds_differ_and_more_steps_extend_a_text(model: CausalModel) -> None:
    steered = bind(model, None, 0)
    first = tokens(steered, PROMPTS, SHORT)
    assert len({sample for row in first for sample in row}) == len(PROMPTS) * 3
    assert tokens(steered, PROMPTS, Sampling(max_new_tokens=12, samples=3, seed=6)) != first
    longer = tokens(steered, PROMPTS, Sampling(max_new_tokens=20, samples=3, seed=5))
    for short_row, long_row in zip(first, longer, strict=True):
        assert all(long[: len(short)] == short for short, long in zip(short_row, long_row, strict=True))


def test_generation_stops_at_the_end_token_and_finished_rows_disturb_nobody(model: CausalModel) -> None:
    """With an end token that is common most rows finish early, and the batch is compacted on the way."""
    hot = Sampling(max_new_tokens=60, samples=16, top_p=1.0, seed=1)
    plain = [sample for row in tokens(bind(model, None, 0), PROMPTS, hot) for sample in row]
    common = Counter(token for sample in plain for token in set(sample[:15])).most_common(1)[0][0]
    ending = bind(replace(model, start=model.end, end=common, ends=(common,)), None, 0)
    flat = [sample for row in ending.generate(PROMPTS, hot) for sample in row]
    assert 0.3 < np.mean([sample.ended for sample in flat]) < 1
    for whole, cut in zip(plain, flat, strict=True):
        if common in whole:
            assert (cut.tokens, cut.ended) == (whole[: whole.index(common)], True)
        else:
            assert cut.tokens[: len(whole)] == whole


def test_a_long_prompt_keeps_its_end(model: CausalModel) -> None:
    long, short = "in the rain " * 100 + "the garden", "in the rain " * 40 + "the garden"
    sampling = Sampling(max_new_tokens=5)
    steered = bind(model, None, 0)
    assert tokens(steered, [long], sampling) == tokens(steered, [short], sampling)


def test_no_room_for_a_prompt_is_an_error(model: CausalModel) -> None:
    with pytest.raises(InputError, match="leave no room for a prompt"):
        bind(model, None, 0).generate(["a"], Sampling(max_new_tokens=model.max_positions))


@pytest.mark.parametrize("bad", [{"max_new_tokens": 0}, {"samples": 0}, {"top_p": 0.0}, {"temperature": -1.0}])
def test_impossible_sampling_is_refused(bad: dict) -> None:
    with pytest.raises(InputError):
        Sampling(**bad)
