"""Processes by a name that is theirs alone: a process id comes back after a while, and on every machine."""

from __future__ import annotations

import contextlib
import os
import socket
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """A process: its machine as people call it, its id there, the kernel's run and the namespace within which that id
    counts, and when it started, in that kernel's ticks.
    """

    host: str
    pid: int
    place: str
    born: str

    @property
    def dead(self) -> bool | None:
        """Whether it has ended; None for a process of another machine, container or run of the kernel."""
        if (self.host, self.place) != (socket.gethostname(), _place()):
            return None
        return _born(self.pid) != self.born


def this_process() -> Process:
    """The process that asks."""
    return Process(socket.gethostname(), os.getpid(), _place(), _born(os.getpid()))


@cache
def _place() -> str:
    """Containers of one machine may share its name and its run, and number their processes apart."""
    marks = []
    with contextlib.suppress(OSError):
        marks.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        marks.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(marks)


def _born(pid: int) -> str:
    """When a process started; "" where there is none, or only what its parent has not yet asked about (a zombie)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return "" if Path("/proc/self").exists() else _without_proc(pid)
    fields = text.rpartition(")")[2].split()  # the name before may hold spaces and parentheses
    return "" if fields[0] == "Z" else fields[19]


def _without_proc(pid: int) -> str:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        pass
    return "alive"
