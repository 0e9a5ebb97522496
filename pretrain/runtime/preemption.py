"""SIGTERM: a cluster wants the machine back. The run saves and leaves; started again, it goes on."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType


class Preemption:
    """While it is entered, SIGTERM is only `noted`, on the rank that got it. Outside the main thread it does nothing,
    since Python takes signals only there.
    """

    def __init__(self) -> None:
        self.noted = False
        self._before: signal._HANDLER = None

    def __enter__(self) -> Preemption:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGTERM, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self.noted = True
