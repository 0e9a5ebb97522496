"""Every architecture of the zoo: loaded, batched, windowed, steered; the end of a text and text that spells it.

Covers posttrain.causal_model, posttrain.loading.head and posttrain.loading.configuration.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from posttrain.decoding.sampling import Sampling
from posttrain.fitted import Fitted
from posttrain.labelled import Labelled
from posttrain.methods.iti import Iti
from posttrain.methods.options import ItiArgs, PromptArgs, SasaArgs
from posttrain.methods.prompt import Prompt
from posttrain.methods.sasa import Sasa
from posttrain.model import CausalModel, load_model
from posttrain.steered import bind
from tests.helpers import zoo

PROMPTS = ["the garden", "after lunch we walked to the river with friends", "you"]
# Cool, so that a nucleus has few borders: rounding, which depends on the batch, moves them by some 1e-7.
SAMPLING = Sampling(max_new_tokens=8, samples=2, temperature=0.3, seed=3)
WINDOWED = ["gemma2", "gemma3", "olmo3", "mistral", "mixtral"]


@pytest.fixture(scope="module", params=zoo.NAMES)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> CausalModel:
    return load_model(str(zoo.save(request.param, tmp_path_factory.mktemp(request.param))), "cpu")


def text(model: CausalModel) -> torch.Tensor:
    return torch.tensor([[model.start, *model.encode(["after lunch we walked to the river with friends today"])[0]]])


@torch.inference_mode()
def test_logits_are_the_networks_own(model: CausalModel) -> None:
    ids = text(model)
    ours = model.logits(model.hidden(ids))
    torch.testing.assert_close(ours, model.network(input_ids=ids).logits, rtol=0, atol=0)
    assert model.logits(model.hidden(ids)[0, 3]).shape == ours.shape[-1:]


@pytest.mark.parametrize("method", ["none", "prompt", "iti", "sasa"])
def test_left_padded_batches_equal_single_prompts_under_every_method(
    model: CausalModel, method: str, labelled: Labelled
) -> None:
    fitted: Fitted | None = {
        "none": lambda: None,
        "prompt": lambda: Prompt.fit(model, None, PromptArgs(text="be kind "), 0),
        "iti": lambda: Iti.fit(model, labelled, ItiArgs(), 0),
        "sasa": lambda: Sasa.fit(model, labelled, SasaArgs(max_candidates=6), 0),
    }[method]()
    steered = bind(model, fitted, 0 if fitted is None else 5)
    together = steered.generate(PROMPTS, SAMPLING)
    alone = [steered.generate([prompt], SAMPLING, indices=[index])[0] for index, prompt in enumerate(PROMPTS)]
    assert alone == together
    nats = steered.cross_entropy([*PROMPTS, "a calm and kind reply"])
    assert torch.tensor(nats.nats).isfinite().all() and (nats.nats > 0).all()


def test_greedy_decoding_equals_hugging_face(model: CausalModel) -> None:
    ours = bind(model, None, 0).generate(PROMPTS, Sampling(max_new_tokens=8, temperature=0.0))
    for prompt, (generation,) in zip(PROMPTS, ours, strict=True):
        assert list(generation.tokens) == greedily(model, prompt, 8)


def greedily(model: CausalModel, prompt: str, steps: int) -> list[int]:
    """By the network's own forward over the whole text at every step, without a cache."""
    ids = [model.start, *model.encode([prompt])[0]]
    first = len(ids)
    with torch.inference_mode():
        for _ in range(steps):
            ids.append(int(model.network(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].argmax()))
    written = ids[first:]
    return written[: written.index(model.end)] if model.end in written else written


@pytest.mark.parametrize("name", WINDOWED)
def test_sliding_windows_shorter_than_the_text_are_the_networks_own(
    name: str, tmp_path: Path, labelled: Labelled
) -> None:
    """Padding and candidates stand between the keys that a window covers."""
    model = load_model(str(zoo.save(name, tmp_path, sliding_window=7)), "cpu")
    wide = load_model(str(zoo.save(name, tmp_path / "wide")), "cpu")
    ours = bind(model, None, 0).generate(PROMPTS, Sampling(max_new_tokens=12, temperature=0.0))
    assert [list(row[0].tokens) for row in ours] == [greedily(model, prompt, 12) for prompt in PROMPTS]
    assert ours != bind(wide, None, 0).generate(PROMPTS, Sampling(max_new_tokens=12, temperature=0.0))
    sasa = bind(model, Sasa.fit(model, labelled, SasaArgs(max_candidates=6), 0), 50)
    together = sasa.generate(PROMPTS, SAMPLING)
    assert [sasa.generate([p], SAMPLING, indices=[i])[0] for i, p in enumerate(PROMPTS)] == together


@torch.inference_mode()
def test_candidates_see_the_window_of_the_token_that_they_stand_for(tmp_path: Path) -> None:
    from posttrain.decoding.state import Decoding

    model = load_model(str(zoo.save("gemma3", tmp_path, sliding_window=7)), "cpu")
    context = text(model)[0].tolist()
    candidates = torch.tensor([[5, 9, 17, 33]])
    state = Decoding(model, len(context) + 4)
    state.prefill([context])
    branches = state.branch(candidates)[0]
    for candidate, hidden in zip(candidates[0], branches, strict=True):
        whole = model.hidden(torch.tensor([[*context, int(candidate)]]))[0, -1]
        torch.testing.assert_close(hidden, whole, rtol=1e-4, atol=1e-4)


def test_text_that_spells_the_end_is_text(gqa_model: CausalModel) -> None:
    spelled, plain = gqa_model.encode(["a <|endoftext|> b", "a  b"])
    assert gqa_model.end not in spelled and len(spelled) > len(plain)
    assert gqa_model.decode(spelled) == "a <|endoftext|> b"
    assert gqa_model.encode(["<|endoftext|>"], special=True) == [[gqa_model.end]]


def test_every_end_of_the_generation_configuration_stops(tmp_path: Path) -> None:
    """The configuration names a token that greedy decoding writes soon."""
    plain = load_model(str(zoo.save("llama-gqa", tmp_path / "one")), "cpu")
    written = bind(plain, None, 0).generate(["the garden"], Sampling(max_new_tokens=12, temperature=0.0))[0][0].tokens
    stop = next(token for step, token in enumerate(written) if step > 2)
    model = load_model(str(zoo.save("llama-gqa", tmp_path / "two", eos_token_id=[0, stop])), "cpu")
    assert model.end == 0 and model.ends == (0, stop)
    generation = bind(model, None, 0).generate(["the garden"], Sampling(max_new_tokens=12, temperature=0.0))[0][0]
    assert generation.ended and generation.tokens == written[: written.index(stop)]


def test_prompts_that_lose_their_beginning_are_counted(gqa_model: CausalModel) -> None:
    prompts = ["the garden", "in the rain " * 100, "you"]
    assert bind(gqa_model, None, 0).cut_prompts(prompts, 20) == 1
    assert bind(replace(gqa_model, max_positions=10**6), None, 0).cut_prompts(prompts, 20) == 0
