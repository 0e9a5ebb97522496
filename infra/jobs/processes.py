"""Worker processes: spawned (a fork would keep the parent's locks and threads), and gone when their parent is."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

_number = 0


@contextlib.contextmanager
def worker_pool(workers: int, setup: Callable[[], None] | None = None) -> Iterator[ProcessPoolExecutor]:
    """A pool of spawned workers, each of which first runs `setup`.

    Leaving the block by an exception kills the workers and their children, so that nobody goes on writing into a folder
    that is no longer looked after; so does the death of this process, however it comes.
    """
    pool = start_workers(workers, setup)
    try:
        yield pool
    except BaseException:
        kill_workers(pool)
        raise
    pool.shutdown()


def start_workers(workers: int, setup: Callable[[], None] | None = None) -> ProcessPoolExecutor:
    """The pool of `worker_pool` for who ends it himself: they die with this process."""
    context = multiprocessing.get_context("spawn")
    arguments = (setup, context.Value("i", 0))
    return ProcessPoolExecutor(workers, context, initializer=_prepare, initargs=arguments)


def kill_workers(pool: ProcessPoolExecutor) -> None:
    """End a pool now, with its workers and their children, whatever they are at."""
    for process in list((pool._processes or {}).values()):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid or 0, signal.SIGKILL)
        process.kill()  # one that has only just started leads no group yet
    pool.shutdown(wait=False, cancel_futures=True)


def worker_number() -> int:
    """Which of the workers of its pool this process is, from 0; 0 outside of any pool."""
    return _number


def _prepare(setup: Callable[[], None] | None, started: Any) -> None:
    """Lead an own process group, and take it down with the parent; Ctrl-C is the parent's to handle."""
    global _number
    with started.get_lock():
        _number, started.value = started.value, started.value + 1
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if setup is not None:
        setup()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.killpg(0, signal.SIGKILL)
