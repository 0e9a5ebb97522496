"""The state of a batch while it is decoded: cache, padding, positions; one token a step, or several candidates."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from posttrain.decoding.cache import SlotCache
from posttrain.decoding.graph import FixedStep
from posttrain.model import CausalModel


class Decoding:
    """Rows of left-padded contexts on their way through a model.

    `capacity` is the number of tokens a row may hold, candidates of one step included. Masks are made here, additive
    and four-dimensional [rows, 1, queries, keys], because a tree of candidates has no other form, and because the
    model then treats padding in the same way at every step.

    With `fixed`, as on a GPU, steps of equally many tokens have equal shapes and are recorded; see FixedStep.
    """

    def __init__(self, model: CausalModel, capacity: int, fixed: bool | None = None) -> None:
        self.model = model
        self.fixed = model.device.type == "cuda" if fixed is None else fixed
        self.steps: dict[int, FixedStep] = {}  # by tokens a row
        self.cache = SlotCache(model.layout.layers, capacity)
        self.capacity = capacity
        self.seen = torch.empty(0, device=model.device)  # [rows, capacity] bool: which keys are text, not padding
        self.position = torch.empty(0, device=model.device)  # [rows]: position id of the next token

    def prefill(self, contexts: Sequence[Sequence[int]]) -> torch.Tensor:
        """Read the contexts; returns next-token logits [rows, vocabulary]."""
        return self.model.logits(self.read(contexts))

    def read(self, contexts: Sequence[Sequence[int]]) -> torch.Tensor:
        """Read the contexts; returns the last hidden states [rows, hidden]."""
        lengths = torch.tensor([len(context) for context in contexts])
        width = int(lengths.max())
        ids_BT = torch.tensor([[self.model.end] * (width - len(context)) + list(context) for context in contexts])
        is_text_BT = torch.arange(width) >= (width - lengths)[:, None]
        device = self.model.device
        ids_BT, is_text_BT = ids_BT.to(device), is_text_BT.to(device)
        self.seen = torch.zeros(len(contexts), self.capacity, dtype=torch.bool, device=device)
        self.seen[:, :width] = is_text_BT
        causal_TT = torch.ones(width, width, dtype=torch.bool, device=device).tril()
        hidden_BTH = self._forward(ids_BT, causal_TT & is_text_BT[:, None, :], (is_text_BT.cumsum(-1) - 1).clamp(min=0))
        self.cache.commit(width)
        self.position = lengths.to(device)
        return hidden_BTH[:, -1]

    def extend(self, tokens: torch.Tensor) -> torch.Tensor:
        """Append one token to each row; returns next-token logits [rows, vocabulary]."""
        hidden = self._step(tokens[:, None])
        self._append()
        self.cache.commit(1)
        return self.model.logits(hidden[:, -1])

    def branch(self, candidates: torch.Tensor) -> torch.Tensor:
        """Hidden states [rows, K, hidden] of K alternative next tokens, in one forward and without copying the cache.

        All candidates of a row have the same position id, and each sees the prefix and itself only. Nothing is
        appended until `keep` says which one it is.
        """
        return self._step(candidates)

    def keep(self, index: torch.Tensor) -> None:
        """Append candidate `index[row]` of the last `branch` to each row."""
        self._append()
        self.cache.choose(index)

    def select(self, rows: torch.Tensor) -> None:
        """Go on with these rows only (a row may be named several times)."""
        self.cache.select(rows)
        self.steps.clear()
        self.seen, self.position = self.seen[rows], self.position[rows]

    def _prefix(self, count: int, keys: int) -> torch.Tensor:
        """Mask [rows, count, keys] of `count` tokens that see the prefix and themselves."""
        length = self.cache.length
        mask = self.seen[:, None, :keys].repeat(1, count, 1)
        mask[:, :, length : length + count] = torch.eye(count, dtype=torch.bool, device=mask.device)
        return mask

    def _step(self, ids: torch.Tensor) -> torch.Tensor:
        """Hidden states of tokens [rows, K] that see the prefix and themselves."""
        rows, count = ids.shape
        positions = self.position[:, None].expand(rows, count)
        if not self.fixed:
            return self._forward(ids, self._prefix(count, self.cache.length + count), positions)
        if count not in self.steps:
            self.steps[count] = FixedStep(self.model, self.cache, rows, count)
        return self.steps[count](ids, additive(self._prefix(count, self.capacity), self.model), positions)

    def _append(self) -> None:
        self.seen[:, self.cache.length] = True
        self.position = self.position + 1

    def _forward(self, ids: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        return self.model.hidden(
            ids,
            attention_mask=additive(mask, self.model),
            position_ids=positions,
            past_key_values=self.cache,
            use_cache=True,
        )


def additive(mask: torch.Tensor, model: CausalModel) -> torch.Tensor:
    """Boolean mask [rows, queries, keys] as the additive one that every attention implementation understands.

    The lowest finite number and not minus infinity, so that a padding query that sees nothing gives no NaN.
    """
    dtype = model.network.dtype
    zeros = torch.zeros(mask.shape, dtype=dtype, device=mask.device)
    return zeros.masked_fill_(~mask, torch.finfo(dtype).min)[:, None]
