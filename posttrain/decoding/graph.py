"""A decoding step whose shapes and addresses never change, so that a CUDA graph may launch it in one call.

Launching the several hundred kernels of a step takes a CPU ten times as long as a GPU needs to run them (22 ms for
OLMo-1B). The step reads its inputs from buffers, writes keys and values where a tensor says, and attends to the whole
cache behind a mask. Steering hooks are part of what is recorded: a step is good for as long as they stay registered.
"""

from __future__ import annotations

import logging

import torch

from posttrain.decoding.cache import SlotCache
from posttrain.model import CausalModel

_WARM_UP = 2  # runs before recording: libraries choose their kernels and allocate work space in the first
_log = logging.getLogger(__name__)


class FixedStep:
    """One forward of `count` tokens a row behind a cache; on a CUDA device it is recorded at the first call.

    Where recording fails (a network that looks at its own values, as some mixtures of experts do) it runs as usual.
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

    def __call__(self, ids: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Final hidden states [rows, count, hidden], good until the next call.

        `ids` and `positions` [rows, count]; `mask` [rows, 1, count, capacity] additive.
        """
        self.ids.copy_(ids)
        self.positions.copy_(positions)
        self.mask.copy_(mask)
        torch.arange(self.cache.length, self.cache.length + len(self.slots), out=self.slots)
        if self.hidden is None and self.model.device.type == "cuda":
            self._record()
        if self.graph is None:
            return self._run()
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
        """Warming up writes the same keys and values as the step itself, so it may run as often as it likes."""
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(_WARM_UP):
                self.hidden = self._run()
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                self.hidden = self._run()
        except RuntimeError as error:
            _log.debug("decoding without a CUDA graph: %s", error)
            graph.reset()
            return
        self.graph = graph
