"""Processes by a name that is theirs alone: a process id comes back after a while, and on every machine."""

from __future__ import annotations

import contextlib
import os
import socket
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Process:
    """A process: its machine as people call it, its id there, the kernel's run and the namespace within which that id
    counts, and when it started, in that kernel's ticks.
    """

    host: str
    pid: int
    kernel: str
    born: str

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Process:
        """The process that `to_json` gave. Raises KeyError."""
        return cls(record["host"], record["pid"], record["place"], record["born"])

    def to_json(self) -> dict[str, Any]:
        """As it stands in a lease, which another version of hormesis may read."""
        return {"host": self.host, "pid": self.pid, "place": self.kernel, "born": self.born}

    @property
    def dead(self) -> bool | None:
        """Whether it has ended; None for a process of another machine, container or run of the kernel."""
        if (self.host, self.kernel) != (socket.gethostname(), _kernel()):
            return None
        return _born(self.pid) != self.born


def this_process() -> Process:
    """The process that asks."""
    return Process(socket.gethostname(), os.getpid(), _kernel(), _born(os.getpid()))


@cache
def _kernel() -> str:
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
