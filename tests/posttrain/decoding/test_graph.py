"""The step of fixed shapes, as a CUDA graph needs it, gives what the growing cache gives; here on a CPU."""

from __future__ import annotations

import pytest
import torch

from posttrain.decoding import passes
from posttrain.decoding.sampling import Sampling
from posttrain.decoding.state import Decoding
from posttrain.labelled import Labelled
from posttrain.methods.iti import Iti
from posttrain.methods.options import ItiArgs, SasaArgs
from posttrain.methods.sasa import Sasa
from posttrain.model import CausalModel
from posttrain.steered import bind_all

CONTEXTS = [[0, 5, 9, 4, 7], [0, 3], [0, 8, 8, 2]]
STEPS = 6
PROMPTS = ["the garden", "after lunch we walked to the river", "you"]


@pytest.fixture(params=["model", "gqa_model", "neox_model"])
def any_model(request: pytest.FixtureRequest) -> CausalModel:
    return request.getfixturevalue(request.param)


@torch.inference_mode()
def test_steps_of_fixed_shapes_give_what_the_growing_cache_gives(any_model: CausalModel) -> None:
    """From left-padded contexts, one token at a time and as a tree of four, one of which is kept."""
    growing, fixed = (Decoding(any_model, 5 + STEPS + 9, fixed) for fixed in (False, True))
    logits = growing.prefill(CONTEXTS)
    torch.testing.assert_close(fixed.prefill(CONTEXTS), logits)
    for step in range(STEPS):
        if step % 2:
            candidates = logits.topk(4).indices
            hidden = growing.branch(candidates)
            torch.testing.assert_close(fixed.branch(candidates), hidden, atol=1e-5, rtol=1e-5)
            kept = torch.tensor([step % 4, 0, 3])
            for state in (growing, fixed):
                state.keep(kept)
            logits = any_model.logits(hidden[torch.arange(3), kept])
        else:
            tokens = logits.argmax(-1)
            logits = growing.extend(tokens)
            torch.testing.assert_close(fixed.extend(tokens), logits, atol=1e-5, rtol=1e-5)
    assert set(fixed.steps) == {1, 4}
    assert fixed.steps[1].mask.shape[-1] == fixed.capacity


def test_a_text_is_the_same_with_steps_of_fixed_shapes(
    any_model: CausalModel, labelled: Labelled, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plain and with ITI under SASA; rows end on the way and are dropped, which begins new steps."""
    hot = Sampling(max_new_tokens=24, samples=6, top_p=0.95, seed=1)
    iti, sasa = Iti.fit(any_model, labelled, ItiArgs(), 0), Sasa.fit(any_model, labelled, SasaArgs(max_candidates=4), 0)
    steered = [bind_all(any_model, []), bind_all(any_model, [(iti, 3), (sasa, 20)])]
    expected = [one.generate(PROMPTS, hot) for one in steered]
    monkeypatch.setattr(passes, "Decoding", lambda model, capacity: Decoding(model, capacity, fixed=True))
    assert [one.generate(PROMPTS, hot) for one in steered] == expected
