"""Negative log-probabilities of texts' tokens under a stack of methods, in nats: of exactly what decoding draws from,
before it cuts a nucleus.

Looking at candidates costs K forwards a position, so its effect is measured at some positions and added to all, and at
the end of a document by itself: a method may do there what it does nowhere else. Its
distribution p' shares out p(C) over the set C of the likeliest tokens anew: p'(x) = p(C) p(x) e^b(x) / sum over C of
p e^b for x in C, with the bonus b, and p' = p elsewhere, so no target has probability 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

import torch

from posttrain.decoding.cache import SlotCache
from posttrain.decoding.candidates import within
from posttrain.decoding.combined import combined, penalised
from posttrain.decoding.state import additive
from posttrain.model import CausalModel
from posttrain.stack import Stack

_LOGITS_PER_CHUNK = 1 << 25  # 128 MB in float32
_FORWARD_TOKENS = 8192


@torch.inference_mode()
def token_nats(
    stack: Stack, ids: torch.Tensor, targets: torch.Tensor, ends: torch.Tensor | None = None
) -> torch.Tensor:
    """Negative log-probability of each target token, [rows, positions] float64, 0 where `targets` is False.

    `ids` are right-padded: start token, the stack's prefix, text. `targets[row, t]` says that token t counts, given
    tokens 0 to t-1. It lies on the CPU: what counts is known before the model runs, and a GPU need not be waited for to
    count it. `ends`, of the same kind, are those targets that end a document, at most the last of a row. The sum over a
    row is exact but for candidates, whose mean effect over up to `measured_positions` evenly spaced targets of a row is
    added to every target of it but its end, which is exact.
    """
    texts = Texts(stack, ids)
    rows, positions = (index.to(ids.device) for index in targets.nonzero(as_tuple=True))
    nats_BT = torch.zeros(ids.shape, dtype=torch.float64, device=ids.device)
    nats_BT[rows, positions] = texts.nats(rows, positions, ids[rows, positions])
    if not stack.candidates:
        return nats_BT
    ends = torch.zeros_like(targets) if ends is None else ends
    for chosen, count in ((targets & ~ends, stack.measured_positions), (ends, 1)):
        if chosen.any():
            nats_BT += texts.mean_difference(chosen, ids, count)[:, None] * chosen.to(ids.device)
    return nats_BT


@dataclass(frozen=True)
class _Read:
    """One pass over the texts: its hidden states [rows, positions, hidden] and what its prefix is longer by."""

    model: CausalModel
    hidden: torch.Tensor
    offset: int


class Texts:
    """Texts that every pass of a stack has read. `ids` as in `token_nats`, or without the start token."""

    def __init__(self, stack: Stack, ids: torch.Tensor, start: bool = True) -> None:
        self.stack, self.ids = stack, ids
        self.start = int(start)
        self.positions_at_once = max(1, _FORWARD_TOKENS // (len(ids) * max(1, stack.candidates)))
        own_is_judge = bool(stack.candidates) and stack.judge is None
        self.cache = self._cache(stack.model, ids.shape[1]) if own_is_judge else None
        self.own = _Read(stack.model, self._hidden(stack.model, ids, self.cache), 0)
        self.streams = [self._read(stream.model, stream.prefix) for stream in stack.streams]

    def nats(self, rows: torch.Tensor, positions: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """Nats [n] float64 of `tokens` [n] at (rows [n], positions [n]), before candidates are looked at.

        A token need not be the one that stands there, and may stand behind the text.
        """
        nats = torch.zeros(len(rows), dtype=torch.float64, device=self.ids.device)
        for chunk, logits in self._chunks(rows, positions):
            nats[chunk] = torch.nn.functional.cross_entropy(logits, tokens[chunk], reduction="none").double()
        return nats

    def scored(
        self, rows: torch.Tensor, positions: torch.Tensor, tokens: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Those nats, and which tokens [n] greedy decoding, which looks at no candidates, would take."""
        nats = torch.zeros(len(rows), dtype=torch.float64, device=self.ids.device)
        taken = torch.zeros_like(nats, dtype=torch.bool)
        for chunk, logits in self._chunks(rows, positions):
            nats[chunk] = torch.nn.functional.cross_entropy(logits, tokens[chunk], reduction="none").double()
            taken[chunk] = logits.argmax(-1) == tokens[chunk]
        return nats, taken

    def _chunks(self, rows: torch.Tensor, positions: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Indices into `rows`, and the logits there."""
        # All logits at once would be rows x positions x vocabulary floats, most of them for padding and prefixes.
        size = max(1, _LOGITS_PER_CHUNK // self.stack.model.network.config.vocab_size)
        for chunk in torch.arange(len(rows), device=rows.device).split(size):
            yield chunk, self.logits(rows[chunk], positions[chunk])

    def logits(self, rows: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Logits [n, vocabulary] that predict the tokens at (rows [n], positions [n])."""
        own, *added = (
            read.model.logits(read.hidden[rows, positions - 1 + read.offset]) for read in (self.own, *self.streams)
        )
        logits = combined(self.stack, own, added)
        if not self.stack.watching:  # what follows waits for a GPU
            return logits
        at = list(zip(rows.tolist(), positions.tolist(), strict=True))
        for method, states in zip(self.stack.watching, self._states, strict=True):
            logits = penalised(method, [states[row][position] for row, position in at], logits)
        return logits

    def mean_difference(self, targets: torch.Tensor, ids: torch.Tensor, count: int) -> torch.Tensor:
        """What looking at candidates adds to the nats of a target [rows], a mean over up to `count` of each row's
        `targets` [rows, positions], which are tokens of `ids`.
        """
        device = self.ids.device
        positions_BP, valid_BP = (index.to(device) for index in spaced(targets, count))
        tokens_BP = ids.gather(-1, positions_BP)
        difference_BP = torch.zeros_like(positions_BP, dtype=torch.float64)
        for chunk in torch.arange(positions_BP.shape[1], device=device).split(self.positions_at_once):
            difference_BP[:, chunk] = self.difference(positions_BP[:, chunk], tokens_BP[:, chunk])
        return (difference_BP * valid_BP).sum(-1) / valid_BP.sum(-1).clamp(min=1)

    def difference(self, positions: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """What looking at candidates adds to the nats [rows, P] of `tokens` at `positions`, both [rows, P].

        In names: B rows, K candidates, Q = P * K, R = B * P, V vocabulary.
        """
        (rows, count), width = positions.shape, self.stack.candidates
        row_BP = torch.arange(rows, device=positions.device)[:, None].expand(rows, count)
        logits_RV = self.logits(row_BP.flatten(), positions.flatten())
        top_RK, candidates_RK = logits_RV.double().log_softmax(-1).topk(width, -1)
        branches_RKH = self._branches(positions, candidates_RK.view(rows, -1)).view(rows * count, width, -1)
        inside_RK = within(top_RK.exp(), self.stack.candidate_mass)
        bonus_RK = self.stack.bonus(branches_RKH, inside_RK)
        weighed_RK = (top_RK + bonus_RK).masked_fill(~inside_RK, -float("inf"))
        is_target_RK = (candidates_RK == tokens.reshape(-1, 1)) & inside_RK
        plain_R = top_RK.masked_fill(~inside_RK, -float("inf")).logsumexp(-1)
        nats_R = weighed_RK.logsumexp(-1) - plain_R - torch.where(is_target_RK, bonus_RK, 0.0).sum(-1)
        return torch.where(is_target_RK.any(-1), nats_R, 0.0).view(rows, count)

    def _branches(self, positions: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
        """The judge's hidden states [rows, Q, hidden] at `candidates` [rows, Q], a tree behind the text's cache."""
        count = candidates.shape[1] // positions.shape[1]
        read, cache = self._judging
        position_BQ = positions[:, :, None].expand(*positions.shape, count).flatten(1) + read.offset
        # A candidate sees the text before its position and itself, and none of the other candidates.
        before_BQT = torch.arange(cache.length, device=positions.device) < position_BQ[:, :, None]
        itself_BQQ = torch.eye(position_BQ.shape[1], dtype=torch.bool, device=positions.device)
        return read.model.hidden(
            candidates,
            attention_mask=additive(
                torch.cat([before_BQT, itself_BQQ.expand(len(candidates), -1, -1)], -1), read.model
            ),
            position_ids=position_BQ,
            past_key_values=cache,
            use_cache=True,
        )

    @cached_property
    def _judging(self) -> tuple[_Read, SlotCache]:
        """The pass whose hidden states the candidates are judged by, and its cache."""
        if self.stack.judge is None:
            assert self.cache is not None
            return self.own, self.cache
        ids = self._behind(self.stack.judge, ())
        cache = self._cache(self.stack.judge, ids.shape[1])
        hidden = self._hidden(self.stack.judge, ids, cache)
        return _Read(self.stack.judge, hidden, ids.shape[1] - self.ids.shape[1]), cache

    @cached_property
    def _states(self) -> list[list[list[int]]]:
        """State of each automaton before every token of every row: [automaton][row][position]."""
        fixed = self.start + len(self.stack.prefix)
        texts = self.ids.tolist()
        automata = [method.automaton for method in self.stack.watching if method.automaton is not None]
        return [
            [[automaton.start] * fixed + list(accumulate(text[fixed:], automaton.step, initial=automaton.start))
             for text in texts]
            for automaton in automata
        ]  # fmt: skip

    def _read(self, model: CausalModel, prefix: tuple[int, ...]) -> _Read:
        ids = self._behind(model, prefix)
        return _Read(model, self._hidden(model, ids, None), ids.shape[1] - self.ids.shape[1])

    def _behind(self, model: CausalModel, prefix: tuple[int, ...]) -> torch.Tensor:
        """The same texts behind another model's start token, where they have one, and another prefix."""
        head = torch.tensor([[model.start, *prefix]], device=self.ids.device)[:, 1 - self.start :]
        text = self.ids[:, self.start + len(self.stack.prefix) :]
        return torch.cat([head.expand(len(self.ids), -1), text], -1)

    def _cache(self, model: CausalModel, length: int) -> SlotCache:
        return SlotCache(model.layout.layers, length + self.positions_at_once * self.stack.candidates)

    def _hidden(self, model: CausalModel, ids: torch.Tensor, cache: SlotCache | None) -> torch.Tensor:
        if cache is None:
            return model.hidden(ids)
        hidden = model.hidden(ids, past_key_values=cache, use_cache=True)
        cache.commit(ids.shape[1])
        return hidden


def spaced(targets: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Up to `count` evenly spaced True positions of each row whose True positions are contiguous.

    Returns positions [rows, count] and which of them are meant (a row with fewer targets repeats its last).
    """
    total = targets.sum(-1, keepdim=True)
    used = total.clamp(max=count)
    order = torch.arange(count, device=targets.device)
    step = ((order + 0.5) * total / used.clamp(min=1)).long()
    first = targets.int().argmax(-1, keepdim=True)
    valid = order < used
    return (first + torch.where(valid, step, (total - 1).clamp(min=0))).clamp(min=1), valid
