"""Leases: which process works on a folder, told by a file that every machine on the same file system sees.

`flock` and process ids end at the machine: on NFS a lock on a folder is local to a node. A lease is a file that is
created exclusively (O_EXCL, which the server of a network folder decides), numbered, and touched every `BEAT` seconds:

    FOLDER.lease/1     {process, since, key} of the holder
    FOLDER.lease/2     of who took over, because the first was dead; there is one live lease at any time

On the holder's own machine a dead process is known at once. Of other machines the file tells: its time is the file
server's, and so is the time it is compared with, so no machine's clock matters. Whoever was silent for `SILENT` seconds
(killed, or stopped and forgotten) loses the lease after another two beats; if it wakes up, it ends itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from infra.errors import BusyError
from infra.render.progress import say
from infra.stages.process_names import Process, this_process

BEAT = 10.0  # seconds between two touches
SILENT = 60.0  # seconds without one after which a holder elsewhere is given up
_FIRST_PAUSE, _TELL_FROM, _LONGEST_PAUSE = 0.02, 0.1, 1.0  # seconds between two looks of who waits
_CLOCK = "clock"  # a file that is touched to learn the file server's time


@dataclass(frozen=True)
class Holder:
    """Who holds a lease, since when, and the key of this one holding, as a process may hold several."""

    process: Process
    since: str
    key: str

    def __str__(self) -> str:
        return f"{self.process.host} pid {self.process.pid} works on this since {self.since}"

    @property
    def dead(self) -> bool | None:
        """Whether nobody stands behind the lease any more; None where that cannot be known from here."""
        if self.process == this_process():
            return self.key not in _beating
        return self.process.dead

    @classmethod
    def read(cls, text: bytes) -> Holder | None:
        """What a lease file says; None for one that is just being written."""
        with contextlib.suppress(ValueError, TypeError, KeyError):
            record = json.loads(text)
            return cls(Process.from_json(record.pop("process")), **record)
        return None


@dataclass(frozen=True)
class _Lease:
    """A lease file as it was read: its number, its holder (None while it is being written), its time, and its age."""

    file: Path
    holder: Holder | None
    touched: float
    silent: float

    @property
    def number(self) -> int:
        return int(self.file.name)

    @property
    def identity(self) -> tuple[Path, object]:
        """What no other lease has, even one that gets its number later."""
        return self.file, self.touched if self.holder is None else self.holder.key


@contextlib.contextmanager
def leased(folder: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold the lease of a folder, which need not exist; the lease is given back, or falls with the process.

    Says once who holds it and waits; BusyError where `wait` is off.
    """
    leases_folder = _leases_of(folder)
    file = _obtain(leases_folder, wait)
    try:
        yield
    finally:
        _release(file)


def holder_of(folder: Path) -> Holder | None:
    """Who works on a folder now, as far as can be told at one look; None when nobody does."""
    for lease in _leases(_leases_of(folder), touch=False):
        if lease.holder is not None and not lease.holder.dead and (lease.holder.dead is False or lease.silent < SILENT):
            return lease.holder
    return None


def _leases_of(folder: Path) -> Path:
    return folder.absolute().with_name(f"{folder.name}.lease")


def _obtain(leases_folder: Path, wait: bool) -> Path:
    """Take the lease as soon as there is nobody else."""
    told, pause = "", _FIRST_PAUSE
    still: dict[tuple[Path, float], float] = {}  # (lease, its time) -> when it was first seen to be silent
    while True:
        leases = _leases(leases_folder)
        standing = [lease for lease in leases if not _is_abandoned(lease, still)]
        if not standing and (file := _take(leases_folder, leases)) is not None:
            return file
        message = _words(leases_folder, standing[0]) if standing else ""
        if message and not wait:
            raise BusyError(f"{message}; wait for it, or choose another --out")
        if message not in ("", told) and pause > _TELL_FROM:
            say(f"{message}; waiting for it (or stop this command and choose another --out)")
            told = message
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


def _words(leases_folder: Path, lease: _Lease) -> str:
    who = str(lease.holder) if lease.holder else "another command begins to work on this"
    return f"{leases_folder.with_suffix('')}: {who}"


def _is_abandoned(lease: _Lease, still: dict[tuple[Path, float], float]) -> bool:
    """Whether nobody stands behind a lease any more.

    Two more beats must pass without a touch after it was found silent: after an outage of the file server every lease
    looks old.
    """
    if lease.holder is not None and (dead := lease.holder.dead) is not None:
        return dead
    if lease.silent < SILENT:
        return False
    since = still.setdefault((lease.file, lease.touched), time.monotonic())
    return time.monotonic() - since >= 2 * BEAT


def _take(leases_folder: Path, dead: list[_Lease]) -> Path | None:
    """Create the lease that follows the dead ones; None where somebody else was faster."""
    file = leases_folder / str(max((lease.number for lease in dead), default=0) + 1)
    mine = Holder(this_process(), datetime.now(UTC).isoformat(timespec="seconds"), uuid4().hex)
    try:
        _create(file, mine)
    except (FileExistsError, FileNotFoundError):  # taken, or given back with the whole folder, in this moment
        return None
    known = {lease.identity for lease in dead}
    if any(lease.file != file and lease.identity not in known for lease in _leases(leases_folder)):
        _release(file)  # two of us, who saw other leases die and took other numbers: both step back and try again
        return None
    for lease in dead:
        lease.file.unlink(missing_ok=True)
    return file


def _create(file: Path, holder: Holder) -> None:
    descriptor = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    with _guard:
        _beating[holder.key] = file
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            json.dump({"process": holder.process.to_json(), "since": holder.since, "key": holder.key}, stream)
    except BaseException:
        _release(file)
        raise
    _keep_beating()


def _release(file: Path) -> None:
    """Give a lease back, and its folder with the last."""
    with _guard:
        for key in [key for key, held in _beating.items() if held == file]:
            del _beating[key]
        file.unlink(missing_ok=True)
    (file.parent / _CLOCK).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        file.parent.rmdir()


def _leases(leases_folder: Path, touch: bool = True) -> list[_Lease]:
    """The lease files of a folder; a file is opened, as a network folder tells its true time only then."""
    names: list[str] = []
    if touch:
        with contextlib.suppress(FileExistsError):  # given back in this moment
            leases_folder.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):  # the same
        names = os.listdir(leases_folder)
    leases, now = [], time.time()
    for name in filter(str.isdecimal, names):
        with contextlib.suppress(FileNotFoundError):
            now = _server_time(leases_folder) if touch else now
            leases.append(_read(leases_folder / name, now))
    return sorted(leases, key=lambda lease: lease.number)


def _read(file: Path, now: float) -> _Lease:
    with file.open("rb") as stream:
        text, touched = stream.read(), os.fstat(stream.fileno()).st_mtime
    return _Lease(file, Holder.read(text), touched, now - touched)


def _server_time(leases_folder: Path) -> float:
    """The time of the file system that a folder is on, in seconds."""
    file = leases_folder / _CLOCK
    file.touch()
    return file.stat().st_mtime


_beating: dict[str, Path] = {}  # key of a holder in this process -> its lease
_guard = threading.Lock()
_thread: list[int] = []  # the process whose thread beats: a forked child has none


def _keep_beating() -> None:
    with _guard:
        if _thread != [os.getpid()]:
            _thread[:] = [os.getpid()]
            threading.Thread(target=_beat, name="lease", daemon=True).start()


def _beat() -> None:
    while True:
        time.sleep(BEAT)
        with _guard:
            lost = [file for file in _beating.values() if not _touch(file)]
        if lost:  # others have been working there since; whatever this process still writes would be in their way
            say(f"{lost[0].parent.with_suffix('')}: this process was stopped for so long that another one took over; "
                "it ends here")  # fmt: skip
            os._exit(1)


def _touch(file: Path) -> bool:
    """Renew a lease by the server's clock; False where it is gone. Of an outage the next beat may see the end."""
    try:
        os.utime(file)
    except FileNotFoundError:
        return False
    except OSError:
        pass
    return True
