"""Micro-batches read ahead of the step by a thread: collated, pinned and on their way to the GPU while it computes.

On a CPU nothing is gained by it, since the thread would take the processor from the step.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import torch

from pretrain.data.epoch import Batch, Batches

AHEAD = 4  # micro-batches that wait at most
_PATIENCE = 0.05  # seconds after which a thread with a full queue looks whether it is still needed

_Sent: TypeAlias = tuple[Batch, torch.cuda.Event | None]


def read_ahead(batches: Batches, device: torch.device) -> Batches:
    """The same batches, read by a thread where the device is a GPU. Close them after use."""
    return PrefetchedBatches(**vars(batches)) if device.type == "cuda" else batches


@dataclass
class PrefetchedBatches(Batches):
    """Batches whose steps a thread reads in their order, from the first that is asked for on.

    Where another step than the next is asked for, as when one is looked at again, the thread begins anew there.
    """

    ahead: int = AHEAD

    def __post_init__(self) -> None:
        self._reader: _Reader | None = None

    def read(self, step: int, device: torch.device) -> Iterator[Batch]:
        """As `Batches.read`. What reading a micro-batch raised is raised where that micro-batch is asked for."""
        if self._reader is None or self._reader.next_step != step:
            self.close()
            self._reader = _Reader(self, step, device)
        return self._reader.take_step()

    def read_now(self, step: int) -> Iterator[Batch]:
        """Micro-batches of one step in main memory, read by the caller."""
        return super().read(step, torch.device("cpu"))

    def close(self) -> None:
        """End the thread and drop what it has read."""
        if self._reader is not None:
            self._reader.close()
        self._reader = None


class _Reader:
    """A thread, and the queue that it fills."""

    def __init__(self, batches: PrefetchedBatches, first: int, device: torch.device) -> None:
        self.next_step = first
        self._batches, self._first, self._device = batches, first, device
        self._sent: queue.Queue[_Sent | Exception] = queue.Queue(batches.ahead)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._fill, name="prefetch", daemon=True)  # no hang at exit
        self._thread.start()

    def take_step(self) -> Iterator[Batch]:
        """Micro-batches of the next step. Until the last is taken, there is no step after it."""
        step, self.next_step = self.next_step, -1
        count = len(self._batches.micro_batches(step))
        for number in range(count):
            batch = self._take()
            if number == count - 1:  # before it is handed over, since nobody asks for one more
                self.next_step = step + 1
            yield batch

    def close(self) -> None:
        """End the thread, which may be waiting for room in the queue."""
        self._closed.set()
        self._thread.join()

    def _take(self) -> Batch:
        sent = self._sent.get()
        if isinstance(sent, Exception):
            raise sent
        batch, copied = sent
        if copied is not None:
            stream = torch.cuda.current_stream(self._device)
            stream.wait_event(copied)
            for tensor in batch.tensors():  # the memory is the copying stream's, which must not take it back too early
                tensor.record_stream(stream)
        return batch

    def _fill(self) -> None:
        try:
            stream = self._copying_stream()
            for step in range(self._first, self._batches.steps):
                for batch in self._batches.read_now(step):
                    if not self._put(self._send(batch, stream)):
                        return
        except Exception as error:
            self._put(error)

    def _copying_stream(self) -> torch.cuda.Stream | None:
        if self._device.type != "cuda":
            return None
        torch.cuda.set_device(self._device)  # every thread has its own
        return torch.cuda.Stream(self._device)

    def _send(self, batch: Batch, stream: torch.cuda.Stream | None) -> _Sent:
        if stream is None:
            return batch.to(self._device), None
        with torch.cuda.stream(stream):
            on_device = batch.map(torch.Tensor.pin_memory).to(self._device)
            return on_device, stream.record_event()

    def _put(self, sent: _Sent | Exception) -> bool:
        """Whether it was put before the reader was closed."""
        while not self._closed.is_set():
            try:
                self._sent.put(sent, timeout=_PATIENCE)
            except queue.Full:
                continue
            return True
        return False
