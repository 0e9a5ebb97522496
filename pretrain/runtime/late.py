"""Numbers that a device has yet to compute, read without keeping it from its next work."""

from __future__ import annotations

import torch
from torch import Tensor


class Late:
    """A copy of a tensor on its way to the host. On a GPU it is there once the work before it is done: read it a step
    later, and the GPU has been given that step in the meantime.
    """

    def __init__(self, values: Tensor) -> None:
        self._event: torch.cuda.Event | None = None
        self._values = values.detach()
        if values.is_cuda:
            # pinned, or the copy would wait for the device
            self._values = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
            self._values.copy_(values, non_blocking=True)
            self._event = torch.cuda.Event()
            self._event.record()

    @property
    def is_late(self) -> bool:
        """Whether reading may wait for a device."""
        return self._event is not None

    def read(self) -> list[float]:
        """The values, flat; waits for them where they are late."""
        if self._event is not None:
            self._event.synchronize()
        values: list[float] = self._values.ravel().tolist()
        return values
