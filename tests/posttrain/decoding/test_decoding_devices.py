"""Steering on another device than the CPU: PyTorch's meta device holds shapes, computes nothing, and refuses to mix."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import pytest
import torch

from infra.errors import UnavailableError
from posttrain.activations import at_last_token
from posttrain.cross_entropy import text_windows, window_nats
from posttrain.decoding.candidates import advance
from posttrain.decoding.nucleus import Nucleus, likeliest
from posttrain.decoding.passes import Passes
from posttrain.fitted import Fitted
from posttrain.labelled import Labelled
from posttrain.methods.base import EditedPositions
from posttrain.methods.iti import Iti
from posttrain.methods.options import ItiArgs, PromptArgs, SasaArgs
from posttrain.methods.prompt import Prompt
from posttrain.methods.sasa import Sasa
from posttrain.model import CausalModel, choose_device, find_heads
from posttrain.stack import Stack
from posttrain.steered import bind

META = torch.device("meta")
METHODS = ["none", "prompt", "iti", "sasa"]
PROMPTS = ["the garden", "after lunch we walked to the river", "you"]


@pytest.fixture(scope="module", params=["model", "gqa_model", "neox_model"])
def pair(request: pytest.FixtureRequest) -> tuple[CausalModel, CausalModel]:
    """A model on the CPU, and the same network on the meta device."""
    model: CausalModel = request.getfixturevalue(request.param)
    network = deepcopy(model.network).to(META)
    return model, replace(model, network=network, outputs=find_heads(network)[0])


@pytest.fixture(scope="module", params=METHODS)
def stack(request: pytest.FixtureRequest, pair: tuple[CausalModel, CausalModel], labelled: Labelled) -> Stack:
    """Fitted on the CPU, bound to the model on the meta device."""
    model, moved = pair
    fitted: Fitted | None = {
        "none": lambda: None,
        "prompt": lambda: Prompt.fit(model, None, PromptArgs(text="be kind "), 0),
        "iti": lambda: Iti.fit(model, labelled, ItiArgs(), 0),
        "sasa": lambda: Sasa.fit(model, labelled, SasaArgs(max_candidates=4), 0),
    }[request.param]()
    return bind(moved, fitted, 0 if fitted is None else 5).stack


@torch.inference_mode()
def test_decoding_steps_stay_on_the_device_of_the_model(stack: Stack) -> None:
    """Nuclei of six tokens, wider than SASA's four candidates; how wide they are is what a real step reads."""
    model = stack.model
    texts = model.encode(PROMPTS)
    passes = Passes(stack, 1 + stack.longest_prefix + max(map(len, texts)) + 4 + stack.branches)
    with stack.editing(passes.positions):
        logits = passes.prefill(texts)
        rows = torch.tensor([0, 0, 1, 2], device=META)
        passes.select(rows)
        logits = logits[rows]
        for last in (False, False, True):
            tokens, weights, facts = likeliest(logits, logits.logsumexp(-1, keepdim=True).double(), 64, 0.9)
            draws = torch.rand(4, dtype=torch.float64, device=META)
            step = advance(passes, Nucleus(tokens[:, :6], weights[:, :6]), draws, last)
            chosen, following = step.tokens, step.logits
            assert {logits.device, tokens.device, weights.device, facts.device, chosen.device} == {META}
            assert chosen.shape == (4,)
            logits = following if following is not None else logits
    assert following is None
    assert logits.shape == (4, model.network.config.vocab_size)


@torch.inference_mode()
def test_cross_entropy_stays_on_the_device_of_the_model(stack: Stack) -> None:
    windows = text_windows(stack, stack.model.encode([*PROMPTS, "a calm reply " * 60]))
    with stack.editing(EditedPositions(everywhere=True)):
        nats = window_nats(stack, windows)
    assert nats.device == META
    assert nats.shape == (len(windows),) and len(windows) > len(PROMPTS) + 1


@torch.inference_mode()
def test_activations_stay_on_the_device_of_the_model(pair: tuple[CausalModel, CausalModel]) -> None:
    moved = pair[1]
    hidden, heads, _ = at_last_token(moved, [[moved.start, *ids] for ids in moved.encode(PROMPTS)])
    assert {hidden.device, heads.device} == {META}
    assert heads.shape == (3, moved.layout.layers, moved.layout.heads * moved.layout.head_dim)


def test_the_device_is_the_one_asked_for_and_a_missing_gpu_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("cpu").type == "cpu"
    assert choose_device("auto").type == choose_device("cuda").type == "cuda"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto").type == "cpu"
    with pytest.raises(UnavailableError, match="no GPU"):
        choose_device("cuda")
