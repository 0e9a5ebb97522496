"""A batch of texts on its way through every pass of a stack: the model's own, its streams', its judge's."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import torch
from torch.nn.functional import pad

from posttrain.decoding.combined import combined, penalised
from posttrain.decoding.state import Decoding
from posttrain.methods.base import EditedPositions
from posttrain.stack import Stack


class Passes:
    """Rows of texts; all passes read the same text, each behind its own prefix.

    `capacity` is the number of tokens that a row may hold in any pass, candidates of one step included.
    """

    def __init__(self, stack: Stack, capacity: int) -> None:
        self.stack, self.positions = stack, EditedPositions()
        self.own = Decoding(stack.model, capacity)
        self.streams = [Decoding(stream.model, capacity) for stream in stack.streams]
        self.judging = None if stack.judge is None else Decoding(stack.judge, capacity)
        self.automata = [automaton for method in stack.methods if (automaton := method.automaton) is not None]
        self.states: list[list[int]] = []
        """State of each automaton, row by row."""

    def prefill(self, texts: Sequence[Sequence[int]]) -> torch.Tensor:
        """Read the texts; returns next-token logits [rows, vocabulary]."""
        self.states = [[reduce(automaton.step, text, automaton.start) for text in texts] for automaton in self.automata]
        logits = self.own.prefill([[self.stack.model.start, *self.stack.prefix, *text] for text in texts])
        added = [
            state.prefill([[stream.model.start, *stream.prefix, *text] for text in texts])
            for stream, state in zip(self.stack.streams, self.streams, strict=True)
        ]
        if self.judging is not None:
            self.judging.read([[self.judging.model.start, *text] for text in texts])
        return self._combined(logits, added)

    def extend(self, tokens: torch.Tensor) -> torch.Tensor:
        """Append one token to each row; returns next-token logits [rows, vocabulary]."""
        return self._followed_by(tokens, self.own.extend(tokens))

    def branch(self, candidates: torch.Tensor) -> torch.Tensor:
        """The judge's hidden states [rows, K, hidden] at K alternative next tokens, as `Decoding.branch` gives them."""
        state, count = self.judging or self.own, candidates.shape[1]
        if state.fixed:
            candidates = pad(candidates, (0, self.stack.candidates - count))
        self.positions.everywhere = True  # an edit of the last position would edit one candidate only
        hidden = state.branch(candidates)
        self.positions.everywhere = False
        return hidden[:, :count]

    def keep(self, index: torch.Tensor, tokens: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        """Append candidate `index[row]` of the last `branch`, which is `tokens[row]`; returns the logits after it.

        `hidden` is what `branch` gave.
        """
        if self.judging is not None:
            self.judging.keep(index)
            return self.extend(tokens)
        self.own.keep(index)
        rows = torch.arange(len(index), device=index.device)
        return self._followed_by(tokens, self.stack.model.logits(hidden[rows, index]))

    def select(self, rows: torch.Tensor) -> None:
        """Go on with these rows only (a row may be named several times)."""
        for state in (self.own, *self.streams, *([self.judging] if self.judging else [])):
            state.select(rows)
        if self.states:
            self.states = [[states[row] for row in rows.tolist()] for states in self.states]

    def _followed_by(self, tokens: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        added = [state.extend(tokens) for state in self.streams]
        if self.states:
            written = tokens.tolist()  # waits for a GPU
            for automaton, states in zip(self.automata, self.states, strict=True):
                states[:] = map(automaton.step, states, written)
        return self._combined(logits, added)

    def _combined(self, logits: torch.Tensor, added: Sequence[torch.Tensor]) -> torch.Tensor:
        logits = combined(self.stack, logits, added)
        for method, states in zip(self.stack.watching, self.states, strict=True):
            logits = penalised(method, states, logits)
        return logits
