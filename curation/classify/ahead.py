"""Scoring on a GPU: a thread tokenises and queues, the device computes, and whoever asked waits for the oldest alone.

A GPU that waits for a tokenizer, for a copy or for a question of the host does nothing meanwhile. So texts come in
chunks of some ten thousand; a thread cuts a chunk into windows (the tokenizer works on all cores and without Python's
lock), sorts them by length, pads them and queues their batches, and goes on with the next chunk while the device is at
it. Scores of a chunk come back in one copy, queued too. Nothing asks the device for a number before that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from curation.classify.windows import Windows, buckets, highest, padded

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curation.classify.engines import TorchEngine

CHUNK = 8192
"""Texts that are sorted by length together."""
DEPTH = 3
"""Chunks that are at work at the same time: one is tokenised, one computed, one taken."""


@dataclass(frozen=True)
class Queued:
    """A chunk whose scores are on their way to `scores` [windows, attributes], in the order of `rows`."""

    windows: Windows
    rows: list[int]
    scores: torch.Tensor
    arrived: Any

    def taken(self) -> NDArray[np.float32]:
        """[texts, attributes], as soon as they are there."""
        if self.arrived is not None:
            self.arrived.synchronize()
        ordered = np.empty(tuple(self.scores.shape), dtype=np.float32)
        ordered[self.rows] = self.scores.numpy()
        return highest(ordered, self.windows)


class Ahead:
    """Queues chunks of texts on the engine's device.

    `batch_tokens` is halved for good when the device's memory does not hold a batch.
    """

    def __init__(
        self, cutter: Callable[[list[str]], Windows], engine: TorchEngine,
        probabilities: Callable[[torch.Tensor], torch.Tensor], pad: int, batch_tokens: int,
    ) -> None:  # fmt: skip
        self._cutter, self._engine, self._probabilities, self._pad = cutter, engine, probabilities, pad
        self.batch_tokens = batch_tokens
        self._thread = ThreadPoolExecutor(1, "scoring-ahead")

    def start(self, texts: list[str]) -> Future[Queued]:
        """Begin with a chunk of at least one text; chunks are worked on in the order in which they come."""
        return self._thread.submit(self._queue, texts)

    def _queue(self, texts: list[str]) -> Queued:
        windows = self._cutter(texts)
        rows: list[int] = []
        batch_scores: list[torch.Tensor] = []
        with torch.inference_mode():
            for batch in buckets(list(map(len, windows.ids)), self.batch_tokens):
                rows += batch
                batch_scores += self._batch([windows.ids[row] for row in batch])
            return Queued(windows, rows, *_on_its_way(torch.cat(batch_scores)))

    def _batch(self, windows: list[tuple[int, ...]]) -> Iterator[torch.Tensor]:
        """Scores of windows of like length, in one batch, or in as many as the memory asks for."""
        tokens = len(windows) * max(map(len, windows))
        if tokens <= self.batch_tokens or len(windows) == 1:
            try:
                yield self._probabilities(self._engine.launch(*padded(windows, self._pad)))
                return
            except torch.OutOfMemoryError:
                if len(windows) == 1:
                    raise
            self.batch_tokens = tokens // 2
            if torch.cuda.is_available():
                torch.cuda.empty_cache()  # what was allocated in vain is in pieces too small for the halves
        half = len(windows) // 2
        yield from self._batch(windows[:half])
        yield from self._batch(windows[half:])


def _on_its_way(scores: torch.Tensor) -> tuple[torch.Tensor, Any]:
    """A copy in the host's memory that is queued behind the computation, and the event after which it is there."""
    if scores.device.type != "cuda":
        return scores.cpu(), None
    with torch.cuda.device(scores.device):
        there = scores.to("cpu", non_blocking=True)
        arrived = torch.cuda.Event()
        arrived.record()
    return there, arrived
