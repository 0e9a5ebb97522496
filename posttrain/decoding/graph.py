"""A decoding step whose shapes and addresses never change, so that a CUDA graph may launch it in one call.

Launching the several hundred kernels of a step takes a CPU ten times as long as a GPU needs to run them (22 ms for
OLMo-1B). The step reads its inputs from buffers, writes keys and values where a tensor says, and attends to the whole
cache behind a mask. Steering hooks are part of what is recorded: a step is good for as long as they stay registered,
and the cache's rows stay as they are.
"""

from __future__ import annotations

import logging

import torch

from posttrain.decoding.cache import SlotCache
from posttrain.model import CausalModel

_log = logging.getLogger(__name__)


class FixedStep:
    """One forward of `count` tokens a row behind a cache; on a CUDA device recorded at its second call.

    The first call runs as usual, in which libraries choose their kernels and allocate work space. Where recording fails
    (a network that looks at its own values, as some mixtures of experts do) so do all others.
    """

    def __init__(self, model: CausalModel, cache: SlotCache, rows: int, count: int) -> None:
        device, dtype = model.device, model.network.dtype
        self.model, self.cache = model, cache
        self.ids = torch.zeros(rows, count, dtype=torch.long, device=device)
        self.positions = torch.zeros_like(self.ids)
        self.mask = torch.zeros(rows, 1, count, cache.capacity, dtype=dtype, device=device)
        self.slots = torch.zeros(count, dtype=torch.long, device=device)
        self.hidden: torch.Tensor | None = None
        self.graph: torch.cuda.CUDAGraph | None = None
        self.to_record = False

    def __call__(self, ids: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Final hidden states [rows, count, hidden], good until the next call.

        `ids` and `positions` [rows, count]; `mask` [rows, 1, count, capacity] additive.
        """
        self.ids.copy_(ids)
        self.positions.copy_(positions)
        self.mask.copy_(mask)
        torch.arange(self.cache.length, self.cache.length + len(self.slots), out=self.slots)
        if self.to_record:
            self._record()
        self.to_record = self.hidden is None and ids.device.type == "cuda"
        if self.graph is None:
            self.hidden = self._run()
        else:
            self.graph.replay()
        assert self.hidden is not None
        return self.hidden

    def _run(self) -> torch.Tensor:
        self.cache.fix(self.slots)
        try:
            return self.model.hidden(
                self.ids,
                attention_mask=self.mask,
                position_ids=self.positions,
                past_key_values=self.cache,
                use_cache=True,
            )
        finally:
            self.cache.fix(None)

    def _record(self) -> None:
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                self.hidden = self._run()
        except RuntimeError as error:
            _log.debug("decoding without a CUDA graph: %s", error)
            graph.reset()
        else:
            self.graph = graph
