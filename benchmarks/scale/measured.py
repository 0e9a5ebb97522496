"""Time and memory at several sizes, and whether a unit of work costs as much at the largest as at the smallest."""

from __future__ import annotations

import gc
import multiprocessing
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.reading.memory import descendants, private
from benchmarks.safety.chaos import ROOT

FLAT = 1.5
"""Largest over smallest per unit, up to which time and memory count as flat."""
_LOOK = 0.02  # seconds between two looks at the memory


@dataclass(frozen=True)
class Cost:
    """Seconds of processors, seconds by the clock, and the highest MB of one process that no file holds."""

    processor: float
    wall: float
    megabytes: float

    def beyond(self, other: Cost) -> Cost:
        """What it took more than `other`: its own start, say."""
        return Cost(self.processor - other.processor, self.wall - other.wall, self.megabytes - other.megabytes)


@dataclass(frozen=True)
class Point:
    """What a size took: `size` as the table names it, `units` of work."""

    size: int
    units: int
    cost: Cost


@dataclass(frozen=True)
class Series:
    """One kind of work at several sizes, smallest first."""

    work: str
    sized_by: str
    unit: str
    points: tuple[Point, ...]

    @property
    def time_ratio(self) -> float:
        """Processor time a unit, largest over smallest size; less than 20 ms counts as 20, it is noise."""
        return self._ratio(lambda cost: max(0.02, cost.processor))

    @property
    def memory_ratio(self) -> float:
        """Memory a unit, largest over smallest size; less than a megabyte counts as one."""
        return self._ratio(lambda cost: max(1.0, cost.megabytes))

    def _ratio(self, of: Callable[[Cost], float]) -> float:
        first, last = self.points[0], self.points[-1]
        return (of(last.cost) / last.units) / (of(first.cost) / first.units)

    @property
    def is_flat(self) -> bool:
        """Whether neither time nor memory of a unit grows with the size."""
        return self.time_ratio <= FLAT and self.memory_ratio <= FLAT

    def table(self) -> str:
        """Markdown: a row a size, and the ratios."""
        head = (f"**{self.work}**\n\n| {self.sized_by} | processor, s | wall, s | MB | µs per {self.unit} "
                f"| bytes per {self.unit} |\n|---|---|---|---|---|---|\n")  # fmt: skip
        rows = "".join(
            f"| {point.size:,} | {point.cost.processor:.2f} | {point.cost.wall:.2f} | {point.cost.megabytes:.1f} "
            f"| {point.cost.processor / point.units * 1e6:,.3f} | {point.cost.megabytes * 1e6 / point.units:,.1f} |\n"
            for point in self.points
        )
        verdict = "flat" if self.is_flat else "**not flat**"
        return (f"{head}{rows}\nOne {self.unit} at the largest size over one at the smallest: time "
                f"{self.time_ratio:.2f}, memory {self.memory_ratio:.2f}: {verdict}.\n")  # fmt: skip


def cost_of(function: Callable[..., None], *arguments: Any, warm_up: Sequence[Any]) -> Cost:
    """Call a function of a module in a process of its own, its child processes left out.

    It has been called with `warm_up` before, so that what it imports and holds for good does not count. It says by
    raising that something is wrong.
    """
    context = multiprocessing.get_context("spawn")
    results: multiprocessing.SimpleQueue[Cost] = context.SimpleQueue()
    process = context.Process(target=_measured, args=(results, function, arguments, warm_up))
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(f"{function.__module__}.{function.__name__} failed")
    return results.get()


def _measured(results: Any, function: Callable[..., None], arguments: Sequence[Any], warm_up: Sequence[Any]) -> None:
    function(*warm_up)
    gc.collect()
    before, highest, ended = private(os.getpid()), [0.0], threading.Event()

    def look() -> None:
        while not ended.wait(_LOOK):
            highest[0] = max(highest[0], private(os.getpid()))

    looking = threading.Thread(target=look)
    looking.start()
    began, used = time.perf_counter(), time.process_time()
    function(*arguments)
    taken = time.process_time() - used, time.perf_counter() - began
    highest[0] = max(highest[0], private(os.getpid()))
    ended.set()
    looking.join()
    results.put(Cost(*taken, highest[0] - before))


def cost_of_command(*arguments: str) -> Cost:
    """Run `hormesis ARGUMENTS`; its processes' seconds all together, and the memory of the largest of them."""
    used, began, highest = _children(), time.perf_counter(), 0.0
    command = [sys.executable, "-m", "hormesis", *arguments]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)  # noqa: S603
    while process.poll() is None:
        highest = max([highest, *map(private, [process.pid, *descendants(process.pid)])])
        time.sleep(_LOOK)
    if process.returncode:
        raise SystemExit(f"{' '.join(arguments)}:\n{process.communicate()[1]}")
    return Cost(_children() - used, time.perf_counter() - began, highest)


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
