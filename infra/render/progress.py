"""Progress: a bar with ETA on a terminal, silence elsewhere, and a small file that `hormesis status` reads."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from infra.atomic import write_json
from infra.render.printable import plain_console, printable

PROGRESS_FILE = ".progress.json"
_WRITE_EVERY = 1.0  # seconds between two writes of the status file

Advance = Callable[[int], None]

_display: Any = None  # the one live Rich display of this process; Rich allows no second


def console() -> Any:
    """Where a line for the user goes: above the bar of this process if there is one."""
    return plain_console(stderr=True) if _display is None else _display.console


def say(message: str) -> None:
    """One line on standard error, where progress goes, so that standard output stays data."""
    console().print(printable(message), soft_wrap=True)


@contextlib.contextmanager
def bar(
    label: str, total: int | None, unit: str = "", *, done: int = 0, folder: Path | None = None, quiet: bool = False
) -> Iterator[Advance]:
    """Show progress of `total` units (None: unknown); call the yielded function with each increment.

    `done` units were done before: they count, but not as speed.
    """
    started = written = time.monotonic()
    before = done

    def record(final: bool = False) -> None:
        nonlocal written
        now = time.monotonic()
        if folder is None or (now - written < _WRITE_EVERY and not final):
            return
        written = now
        rate = (done - before) / (now - started) if now > started else 0.0
        state = {"label": label, "unit": unit, "done": done, "total": total, "per_second": rate, "at": time.time()}
        write_json(folder / PROGRESS_FILE, state)

    with _shown(label, total, unit, quiet, done) as show:

        def advance(count: int) -> None:
            nonlocal done
            done += count
            show(count)
            record()

        yield advance
        record(final=True)


@contextlib.contextmanager
def _shown(label: str, total: int | None, unit: str, quiet: bool, done: int) -> Iterator[Advance]:
    """Add a task to the live display, starting the display if this is the outermost bar."""
    from rich import progress as rich_progress  # no command without a bar waits for it

    global _display
    if quiet or not sys.stderr.isatty():
        yield lambda count: None
        return

    outermost = _display is None
    if outermost:
        _display = rich_progress.Progress(
            rich_progress.TextColumn("{task.description}", markup=False),
            rich_progress.BarColumn(),
            rich_progress.MofNCompleteColumn(),
            rich_progress.TextColumn("{task.fields[unit]}", markup=False),
            rich_progress.TimeElapsedColumn(),
            rich_progress.TextColumn("ETA"),
            rich_progress.TimeRemainingColumn(),
            console=plain_console(stderr=True),
            transient=True,
        )
        _display.start()
    task = _display.add_task(printable(label), total=total, completed=done, unit=unit)
    try:
        yield lambda count: _display.advance(task, count)
    finally:
        _display.remove_task(task)
        if outermost:
            _display.stop()
            _display = None
