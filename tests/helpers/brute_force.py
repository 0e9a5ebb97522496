"""What a stack of methods draws from, by its definition: one whole forward pass for every number, no cache, no padding.

Streams of a model whose activations are edited are edited by the stack and not here, so stacks of both are not for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from posttrain.decoding.nucleus import inverse_cdf, nucleus, uniforms
from posttrain.decoding.sampling import Generation, Sampling
from posttrain.methods.iti import Iti
from posttrain.model import CausalModel
from posttrain.stack import Stack


def written(stack: Stack, prompts: Sequence[str], sampling: Sampling) -> list[list[list[int]]]:
    """Token ids of every continuation, [prompt][sample]."""
    return [
        [_continued(stack, prompt, number, sample, sampling) for sample in range(sampling.samples)]
        for number, prompt in enumerate(prompts)
    ]


def tokens_of(generations: Sequence[Sequence[Generation]]) -> list[list[list[int]]]:
    return [[list(generation.tokens) for generation in row] for row in generations]


def nats(stack: Stack, document: str) -> float:
    """Cross-entropy of a document, its end-of-text token counted."""
    text, total = [*stack.model.encode([document])[0], stack.model.end], 0.0
    for position, token in enumerate(text):
        logits = logits_after(stack, text[:position], 0)
        log_p = logits.log_softmax(-1)
        if stack.candidates:
            top = log_p.topk(stack.candidates).indices
            bonus = bonus_of(stack, text[:position], 0, top)
            log_p[top] = (log_p[top] + bonus).log_softmax(-1) + log_p[top].logsumexp(-1)
        assert float(log_p.exp().sum()) == pytest.approx(1)
        total -= float(log_p[token])
    return total


def _continued(stack: Stack, prompt: str, number: int, sample: int, sampling: Sampling) -> list[int]:
    start = stack.model.encode([prompt])[0]
    text = list(start)
    first = len(stack.prefix) + len(start)  # the last token of what is read first, and all after it
    for draw in uniforms(sampling.seed, [number], [sample], sampling.max_new_tokens)[0]:
        choices = nucleus(logits_after(stack, text, first)[None].float(), sampling.temperature, sampling.top_p)
        count = min(stack.candidates, choices.tokens.shape[1])
        index = int(choices.pick(draw[None])[0])
        if index < count:
            weights = choices.weights[0, :count]
            steered = weights * bonus_of(stack, text, first, choices.tokens[0, :count]).exp()
            stretched = draw * choices.weights.sum() / weights.sum()
            index = int(inverse_cdf(steered[None], stretched[None])[0])
        token = int(choices.tokens[0, index])
        if token == stack.model.end:
            break
        text.append(token)
    return text[len(start) :]


def logits_after(stack: Stack, text: list[int], edited_from: int | None) -> torch.Tensor:
    """Logits [vocabulary] float64 after `text`, before candidates are looked at; edits act from a position on."""
    model = stack.model
    with Edited(stack, edited_from):
        logits = stack.own_weight * _logits_of(model, [model.start, *stack.prefix, *text])
    for stream in stack.streams:
        logits = logits + stream.weight * _logits_of(stream.model, [stream.model.start, *stream.prefix, *text])
    for method in stack.watching:
        assert method.automaton is not None
        state = method.automaton.start
        for token in text:
            state = method.automaton.step(state, token)
        logits[method.automaton.penalised(state)] -= method.penalty
    return logits


def bonus_of(stack: Stack, text: list[int], edited_from: int | None, tokens: torch.Tensor) -> torch.Tensor:
    """The bonus of these candidates, each read in a pass of its own."""
    judge, prefix = (stack.model, stack.prefix) if stack.judge is None else (stack.judge, ())
    rows = torch.tensor([[judge.start, *prefix, *text, int(token)] for token in tokens])
    with Edited(stack, edited_from), torch.inference_mode():
        hidden = torch.stack([judge.hidden(row[None])[0, -1] for row in rows])
    return stack.bonus(hidden[None], torch.ones(1, len(tokens), dtype=torch.bool))[0]


def _logits_of(model: CausalModel, ids: list[int]) -> torch.Tensor:
    with torch.inference_mode():
        return model.network(input_ids=torch.tensor([ids])).logits[0, -1].double()


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
