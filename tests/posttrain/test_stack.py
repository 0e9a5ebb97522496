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
from posttrain.decoding.nucleus import inverse_cdf, nucleus, uniforms
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


def logits_of(model: CausalModel, ids: list[int]) -> torch.Tensor:
    with torch.inference_mode():
        return model.network(input_ids=torch.tensor([ids])).logits[0, -1].double()


def spelled_out(
    stack: Stack, text: list[int], edited_from: int | None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits after `text`, the candidates, and the bonus of each: one whole forward pass for every number."""
    model = stack.model
    ids = [model.start, *stack.prefix, *text]
    with Edited(stack, edited_from):
        logits = stack.own_weight * logits_of(model, ids)
    for stream in stack.streams:
        logits = logits + stream.weight * logits_of(stream.model, [stream.model.start, *stream.prefix, *text])
    for method in stack.watching:
        assert method.automaton is not None
        state = method.automaton.start
        for token in text:
            state = method.automaton.step(state, token)
        logits[method.automaton.penalised(state)] -= method.penalty
    top = logits.log_softmax(-1).topk(max(1, stack.candidates)).indices
    bonus = torch.zeros(len(top), dtype=torch.float64)
    if stack.candidates:
        with Edited(stack, edited_from), torch.inference_mode():
            hidden = model.hidden(torch.tensor([[*ids, int(token)] for token in top]))[:, -1]
        bonus = stack.bonus(hidden[None], torch.ones(1, len(top), dtype=torch.bool))[0]
    return logits, top, bonus


class Edited:
    """ITI's offsets at every position from `first` on, by hooks of the test's own."""

    def __init__(self, stack: Stack, first: int | None) -> None:
        iti = next((method for method in stack.methods if isinstance(method, Iti)), None)
        self.pairs = [] if iti is None or first is None else zip(stack.model.outputs, iti.offsets(), strict=True)
        self.first = first

    def __enter__(self) -> None:
        def edit(offset: torch.Tensor) -> Any:
            def hook(_: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor]:
                edited = inputs[0].clone()
                edited[:, self.first :] += offset
                return (edited,)

            return hook

        self.handles = [module.register_forward_pre_hook(edit(offset)) for module, offset in self.pairs]

    def __exit__(self, *_: object) -> None:
        for handle in self.handles:
            handle.remove()


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
    written = Steered(stack).generate(PROMPTS, sampling)
    for number, prompt in enumerate(PROMPTS):
        start = model.encode([prompt])[0]
        for sample in range(2):
            text, draws = list(start), uniforms(3, [number], [sample], 6)[0]
            first = len(stack.prefix) + len(start)  # the last token of what is read first, and all after it
            for draw in draws:
                logits, top, _ = spelled_out(stack, text, first)
                choices = nucleus(logits[None].float(), 1.0, 0.9)
                count = min(len(top), choices.tokens.shape[1])
                index = int(choices.pick(draw[None])[0])
                if index < count and stack.candidates:
                    weights = choices.weights[0, :count]
                    inside = bonus_within(stack, model, text, first, choices.tokens[0, :count])
                    steered = weights * inside.exp()
                    stretched = draw * choices.weights.sum() / weights.sum()
                    index = int(inverse_cdf(steered[None], stretched[None])[0])
                token = int(choices.tokens[0, index])
                if token == model.end:
                    break
                text.append(token)
            assert list(written[number][sample].tokens) == text[len(start) :]


def bonus_within(stack: Stack, model: CausalModel, text: list[int], first: int, tokens: torch.Tensor) -> torch.Tensor:
    """The bonus of these candidates, each read in a pass of its own."""
    rows = torch.tensor([[model.start, *stack.prefix, *text, int(token)] for token in tokens])
    with Edited(stack, first), torch.inference_mode():
        hidden = torch.stack([model.hidden(row[None])[0, -1] for row in rows])
    return stack.bonus(hidden[None], torch.ones(1, len(tokens), dtype=torch.bool))[0]


@pytest.mark.parametrize("name", NAMES)
def test_cross_entropy_is_that_of_the_distribution_drawn_from(
    model: CausalModel, fits: dict[str, Fitted], name: str
) -> None:
    stack = stacks(model, fits)[name]
    if name == "all":
        stack = Stack.of(model, tuple(method for method in stack.methods if not method.streams))
    measured = Steered(stack).cross_entropy(DOCUMENTS)
    for nats, document in zip(measured.nats, DOCUMENTS, strict=True):
        text, total = model.encode([document])[0], 0.0
        for position, token in enumerate(text):
            logits, top, bonus = spelled_out(stack, text[:position], 0)
            log_p = logits.log_softmax(-1)
            if stack.candidates:
                log_p[top] = (log_p[top] + bonus).log_softmax(-1) + log_p[top].logsumexp(-1)
            assert float(log_p.exp().sum()) == pytest.approx(1)
            total -= float(log_p[token])
        assert nats == pytest.approx(total, rel=1e-5)


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
