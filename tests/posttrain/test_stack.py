"""Methods that act together: what is drawn is what the definition says, computed row by row without a cache.

Covers posttrain.stack, posttrain.recipe, posttrain.token_nats, posttrain.decoding.passes, posttrain.decoding.combined
and posttrain.decoding.candidates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from infra.errors import InputError
from posttrain.decoding.candidates import within
from posttrain.decoding.sampling import Sampling
from posttrain.fitted import Fitted
from posttrain.labelled import Labelled
from posttrain.methods.base import EditedPositions, Method, Stream
from posttrain.methods.iti import Iti
from posttrain.methods.options import ItiArgs, NoneArgs, PromptArgs, SasaArgs
from posttrain.methods.prompt import Prompt
from posttrain.methods.sasa import Sasa
from posttrain.model import CausalModel
from posttrain.stack import Stack
from posttrain.steered import Steered, bind, bind_all
from tests.helpers.brute_force import nats, tokens_of, written

PROMPTS = ["the garden", "you", "after lunch we walked to the river with friends", "shut up"]
DOCUMENTS = ["thank you for the book", "shut up you fool today and go"]


@dataclass
class AfterToken:
    """Penalises `then` right after `first`, and `always` everywhere."""

    first: int
    then: int
    always: int
    start: int = 0

    def step(self, state: int, token: int) -> int:
        return int(token == self.first)

    def penalised(self, state: int) -> torch.Tensor:
        return torch.tensor([self.always, self.then] if state else [self.always])


class Made(Method):
    """A method whose fields a test sets."""

    args = NoneArgs

    @classmethod
    def fit(cls, model: CausalModel, labelled: Labelled | None, args: Any, seed: int) -> Fitted:
        return Fitted.of(model, args, {})


def made(model: CausalModel, **fields: Any) -> Made:
    method = Made(model, Made.fit(model, None, NoneArgs(), 0), 1.0)
    for name, value in fields.items():
        setattr(method, name, value)
    return method


@pytest.fixture(scope="module")
def fits(model: CausalModel, labelled: Labelled) -> dict[str, Fitted]:
    return {
        "iti": Iti.fit(model, labelled, ItiArgs(top_heads=4), 0),
        "sasa": Sasa.fit(model, labelled, SasaArgs(max_candidates=6, cross_entropy_positions=100), 0),
        "prompt": Prompt.fit(model, None, PromptArgs(text="be kind "), 0),
    }


def stacks(model: CausalModel, fits: dict[str, Fitted]) -> dict[str, Stack]:
    """Stacks of unlike kinds on one model."""
    token = model.encode(["you"])[0][0]
    words = made(model, automaton=AfterToken(token, 7, 9), penalty=4.0)
    guided = made(model, own_weight=-1.5, streams=(Stream(model, 1.5, (11, 12)),))
    iti, sasa, prompt = (
        bind(model, fits[name], strength).stack.methods[0]
        for name, strength in (("iti", 4.0), ("sasa", 6.0), ("prompt", 1.0))
    )
    return {
        "iti under sasa": Stack.of(model, (iti, sasa)),
        "words under sasa": Stack.of(model, (words, sasa)),
        "guided, words": Stack.of(model, (guided, words)),
        "all": Stack.of(model, (prompt, iti, guided, words, sasa)),
    }


NAMES = ["iti under sasa", "words under sasa", "guided, words", "all"]


@pytest.mark.parametrize("name", NAMES)
def test_stacked_methods_write_what_brute_force_writes(model: CausalModel, fits: dict[str, Fitted], name: str) -> None:
    """Token by token under the same draws; an edit acts in every branch of a tree, a penalty on what was written.

    ITI under a stream of the same model edits that stream too, which the brute force here leaves out: streams of `all`
    are then not compared.
    """
    stack = stacks(model, fits)[name]
    if name == "all":
        stack = Stack.of(model, tuple(method for method in stack.methods if not method.streams))
    sampling = Sampling(max_new_tokens=6, samples=2, seed=3)
    assert tokens_of(Steered(stack).generate(PROMPTS, sampling)) == written(stack, PROMPTS, sampling)


@pytest.mark.parametrize("name", NAMES)
def test_cross_entropy_is_that_of_the_distribution_drawn_from(
    model: CausalModel, fits: dict[str, Fitted], name: str
) -> None:
    stack = stacks(model, fits)[name]
    if name == "all":
        stack = Stack.of(model, tuple(method for method in stack.methods if not method.streams))
    measured = Steered(stack).cross_entropy(DOCUMENTS)
    assert measured.nats.tolist() == pytest.approx([nats(stack, document) for document in DOCUMENTS], rel=1e-5)


def test_guidance_of_strength_one_is_the_prefix_itself(model: CausalModel) -> None:
    prefix = tuple(model.encode(["be kind "])[0])
    guided = Steered(Stack.of(model, (made(model, own_weight=-1.0, streams=(Stream(model, 1.0, prefix),)),)))
    prompted = Steered(Stack.of(model, (made(model, prefix=prefix),)))
    sampling = Sampling(max_new_tokens=10, samples=3, seed=1)
    assert guided.generate(PROMPTS, sampling) == prompted.generate(PROMPTS, sampling)
    np.testing.assert_allclose(guided.cross_entropy(DOCUMENTS).nats, prompted.cross_entropy(DOCUMENTS).nats, rtol=1e-5)


def test_another_model_judges_candidates_as_the_model_itself_would(
    model: CausalModel, fits: dict[str, Fitted], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The judge is the steered model under another name, so nothing may change but the number of passes."""
    sasa = bind(model, fits["sasa"], 6.0)
    judged = bind(model, fits["sasa"], 6.0)
    monkeypatch.setattr(judged.stack.methods[0], "judge", model)
    sampling = Sampling(max_new_tokens=8, samples=2, seed=5)
    assert judged.generate(PROMPTS, sampling) == sasa.generate(PROMPTS, sampling)
    np.testing.assert_allclose(judged.cross_entropy(DOCUMENTS).nats, sasa.cross_entropy(DOCUMENTS).nats, rtol=1e-5)


def test_methods_of_strength_0_are_left_out(model: CausalModel, fits: dict[str, Fitted]) -> None:
    steered = bind_all(model, [(fit, 0.0) for fit in fits.values()])
    assert steered.stack.methods == ()
    sampling = Sampling(max_new_tokens=8, samples=2, seed=5)
    assert steered.generate(PROMPTS, sampling) == bind(model, None, 0).generate(PROMPTS, sampling)


def test_the_share_that_candidates_reach_is_told(model: CausalModel, fits: dict[str, Fitted]) -> None:
    sampling = Sampling(max_new_tokens=8, seed=5)
    plain = bind(model, None, 0).generate(PROMPTS, sampling)
    looked = bind(model, fits["sasa"], 6.0).generate(PROMPTS, sampling)
    assert all(row[0].reached is None for row in plain)
    assert all(row[0].reached is not None and 0 < row[0].reached < 1 for row in looked)


def test_candidates_stop_where_their_mass_is_reached() -> None:
    weights = torch.tensor([[0.5, 0.3, 0.1, 0.0], [0.2, 0.2, 0.2, 0.2]], dtype=torch.float64)
    assert within(weights, 0.7).tolist() == [[True, True, False, False], [True, True, True, True]]
    assert within(weights, 1.0).tolist() == [[True, True, True, False], [True, True, True, True]]


def test_a_mass_bounds_the_candidates_and_the_rest_keeps_its_probability(
    model: CausalModel, fits: dict[str, Fitted]
) -> None:
    """Whatever the mass, a strength of next to nothing changes no token."""
    sampling = Sampling(max_new_tokens=8, samples=3, seed=5)
    steered = bind(model, fits["sasa"], 1e-9)
    steered.stack.methods[0].candidate_mass = 0.05
    generations = steered.generate(PROMPTS, sampling)
    assert generations == bind(model, None, 0).generate(PROMPTS, sampling)
    assert all(sample.reached is not None and sample.reached < 0.9 for row in generations for sample in row)


def test_judges_of_unlike_models_are_refused(
    model: CausalModel, gqa_model: CausalModel, fits: dict[str, Fitted]
) -> None:
    own, other = (bind(model, fits["sasa"], 6.0).stack.methods[0] for _ in range(2))
    other.judge = gqa_model
    with pytest.raises(InputError, match="unlike models"):
        Stack.of(model, (own, other))


def test_edits_are_of_the_last_position_unless_all_are_asked_for(model: CausalModel, fits: dict[str, Fitted]) -> None:
    stack = bind(model, fits["iti"], 5.0).stack
    ids, seen = torch.tensor([[0, 5, 6, 7]]), []
    for everywhere in (False, True):
        with torch.inference_mode(), stack.editing(EditedPositions(everywhere)):
            seen.append(model.hidden(ids)[0])
    with torch.inference_mode():
        plain = model.hidden(ids)[0]
    assert torch.equal(seen[0][:-1], plain[:-1]) and not torch.equal(seen[0][-1], plain[-1])
    assert not torch.isclose(seen[1], plain).all(-1).any()
