"""Negative log-probabilities of continuations of contexts under a stack of methods: how multiple-choice questions are
answered.

A context is read as it is encoded, behind the start token only where it begins with it: harnesses encode as the
tokenizer does, and not every tokenizer puts a start token. The stack's prefix stands where it always does, before the
text. Continuations that share all but their last token share a pass (four one-letter answers are one).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from infra.errors import InputError
from posttrain.activations import batches, right_padded
from posttrain.methods.base import EditedPositions
from posttrain.stack import Stack
from posttrain.token_nats import Texts

_TOKENS_PER_BATCH = 2048  # more spill a CPU's caches: 4,096 took 1.4 times as long
_ON_GPU = 8  # times as many


@dataclass(frozen=True)
class Continuation:
    """Token ids of a context, at least one, and of what is asked to follow it, at least one."""

    context: tuple[int, ...]
    tokens: tuple[int, ...]


@dataclass(frozen=True)
class ContinuationScore:
    """`nats` of all tokens together, and whether greedy decoding would write them."""

    nats: float
    is_greedy: bool


@dataclass(frozen=True)
class _Ask:
    """A continuation cut to the model's positions: what is read, and the tokens that are asked behind its `first`."""

    index: int
    read: tuple[int, ...]
    tokens: tuple[int, ...]

    @property
    def first(self) -> int:
        """Position of the first token of the continuation."""
        return len(self.read) + 1 - len(self.tokens)


def room(stack: Stack) -> int:
    """Tokens of a text that every pass of the stack reads."""
    return stack.max_positions - stack.longest_prefix - (1 if stack.candidates else 0)


@torch.inference_mode()
def continuation_scores(stack: Stack, continuations: Sequence[Continuation]) -> list[ContinuationScore]:
    """The scores of the continuations, in order. A context that is too long loses its beginning.

    Activations are edited at every position, and candidates are counted, as in `posttrain.cross_entropy`: exactly where
    a continuation has at most `measured_positions` tokens. Raises InputError for a continuation that is longer than
    the model's context, or without a context.
    """
    asks = [_ask(stack, index, asked) for index, asked in enumerate(continuations)]
    scores: dict[int, ContinuationScore] = {}
    size = _TOKENS_PER_BATCH * (_ON_GPU if stack.model.device.type == "cuda" else 1)
    with stack.editing(EditedPositions(everywhere=True)):
        for start in (True, False):
            chosen = [ask for ask in asks if (ask.read[0] == stack.model.start) == start]
            groups = list(_sharing(stack, chosen).values())
            for batch in batches([len(group[0].read) for group in groups], size):
                scores.update(_scored(stack, [groups[index] for index in batch], start))
    return [scores[index] for index in range(len(asks))]


def _ask(stack: Stack, index: int, asked: Continuation) -> _Ask:
    if not asked.context or not asked.tokens:
        raise InputError("a continuation needs a context and tokens of its own")
    if len(asked.tokens) > room(stack):
        raise InputError(f"a continuation of {len(asked.tokens)} tokens; the model reads {room(stack)}")
    ids = (*asked.context, *asked.tokens)[-(room(stack) + 1) :]
    return _Ask(index, ids[:-1], asked.tokens)


def _sharing(stack: Stack, asks: Sequence[_Ask]) -> dict[tuple[int, ...], list[_Ask]]:
    """The continuations that a pass serves: one alone under candidates, whose effect depends on the continuation."""
    groups: dict[tuple[int, ...], list[_Ask]] = {}
    for ask in asks:
        groups.setdefault((*ask.read, -1, ask.index) if stack.candidates else ask.read, []).append(ask)
    return groups


def _scored(stack: Stack, groups: Sequence[Sequence[_Ask]], start: bool) -> dict[int, ContinuationScore]:
    """Scores of the continuations of one batch by their index."""
    head, device = len(stack.prefix), stack.model.device
    begin = int(start)
    rows_of = [(*ask.read[:begin], *stack.prefix, *ask.read[begin:]) for ask, *_ in groups]
    ids, _ = right_padded(rows_of, stack.model)
    texts = Texts(stack, ids, start)
    flat = [
        (row, head + ask.first + offset, token)
        for row, group in enumerate(groups)
        for ask in group
        for offset, token in enumerate(ask.tokens)
    ]
    rows, positions, tokens = torch.tensor(flat, device=device).T
    nats, hits = texts.scored(rows, positions, tokens)
    if stack.candidates:
        nats = nats + _looked_ahead(texts, rows, positions, tokens)[rows]
    asks = [ask for group in groups for ask in group]
    sizes = [len(ask.tokens) for ask in asks]
    pairs = zip(asks, nats.cpu().split(sizes), hits.cpu().split(sizes), strict=True)
    return {ask.index: ContinuationScore(float(its.sum()), bool(right.all())) for ask, its, right in pairs}


def _looked_ahead(texts: Texts, rows: torch.Tensor, positions: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """What looking at candidates adds to each token of a row's one continuation, [rows]."""
    ids = torch.nn.functional.pad(texts.ids, (0, 1))  # the last token of a continuation stands behind what is read
    ids[rows, positions] = tokens
    targets = torch.zeros(ids.shape, dtype=torch.bool)
    targets[rows.cpu(), positions.cpu()] = True
    return texts.mean_difference(targets, ids, texts.stack.measured_positions)
