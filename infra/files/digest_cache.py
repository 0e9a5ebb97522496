"""Digests of files that were read before, by path and stamp, in one SQLite file of the user's cache.

It is a cache and no more: where it cannot be opened, written or believed, files are read again.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

_FILE = "digests-1.sqlite"  # the number is that of the table's form
_WAIT = 5.0  # seconds for another process to let go of the file
_RACY = 2_000_000_000  # ns: the coarsest clock of a file system (FAT), within which a file can change twice unseen

_LARGEST = 1 << 30  # bytes in use, some five million files, above which half of them are forgotten

_FORM = (
    "CREATE TABLE IF NOT EXISTS digests (path TEXT PRIMARY KEY, inode TEXT, size INTEGER, modified INTEGER, "
    "changed INTEGER, digest TEXT, checked INTEGER) WITHOUT ROWID"
)
_SELECT = "SELECT inode, size, modified, changed, digest, checked FROM digests WHERE path = ?"
_INSERT = "INSERT OR REPLACE INTO digests VALUES (?, ?, ?, ?, ?, ?, ?)"
_HALVE = "DELETE FROM digests WHERE checked % 2"  # a fair draw: who is still there, only a look at each would tell
_RENAME = "UPDATE OR REPLACE digests SET path = ? || substr(path, ?) WHERE path >= ? AND path < ?"


def cache_folder() -> Path:
    """Where downloads and digests are kept: $HORMESIS_CACHE, $XDG_CACHE_HOME/hormesis or ~/.cache/hormesis."""
    if chosen := os.environ.get("HORMESIS_CACHE"):
        return Path(chosen)
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path.home() / ".cache") / "hormesis"


class Stamp(NamedTuple):
    """What changes when a file does: inode, size in bytes, and the times of its content and of its inode in ns.

    No device: of one network folder it differs from node to node. The inode's time cannot be set back by a program.
    """

    inode: int
    size: int
    modified: int
    changed: int

    @classmethod
    def of(cls, status: os.stat_result) -> Stamp:
        """From what `stat` says."""
        return cls(status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)

    @property
    def settled(self) -> bool:
        """Whether a change from now on must change the stamp; not so for a file that was written a moment ago."""
        return time.time_ns() - max(self.modified, self.changed) >= _RACY


_memory: dict[tuple[str, Stamp], str] = {}  # of this process, where there is no file to write to


def lookup(stamps: Mapping[str, Stamp]) -> dict[str, str]:
    """Digests of those absolute paths that still have the stamp with which they were remembered."""
    known = {path: _memory[path, stamp] for path, stamp in stamps.items() if (path, stamp) in _memory}

    def read(database: sqlite3.Connection) -> None:
        for path, stamp in stamps.items():
            row = database.execute(_SELECT, (path,)).fetchone()
            if row is not None and row == _row(stamp, row[4]):
                known[path] = row[4]

    _transact(read)
    return known


def remember(digests: Iterable[tuple[str, Stamp, str]]) -> None:
    """Keep (absolute path, stamp, digest); who calls this has seen that the stamp was settled."""
    entries = list(digests)
    rows = [(path, *_row(stamp, digest)) for path, stamp, digest in entries]

    def write(database: sqlite3.Connection) -> None:
        database.executemany(_INSERT, rows)
        if _bytes_in_use(database) > _LARGEST:
            database.execute(_HALVE)

    if rows and not _transact(write):
        _memory.update({(path, stamp): digest for path, stamp, digest in entries})


def relocate(old: Path, new: Path) -> None:
    """A folder was renamed: what is in it was not read again, and need not be."""
    before, after = f"{old.absolute()}/", f"{new.absolute()}/"
    last = before[:-1] + "0"  # "0" follows "/"
    _transact(lambda database: database.execute(_RENAME, (after, len(before) + 1, before, last)))


def _bytes_in_use(database: sqlite3.Connection) -> int:
    """Bytes of the file that hold rows; SQLite knows without reading them."""
    pages, free, size = (int(database.execute(f"PRAGMA {name}").fetchone()[0])
                         for name in ("page_count", "freelist_count", "page_size"))  # fmt: skip
    return (pages - free) * size


def _row(stamp: Stamp, digest: str) -> tuple[str, int, int, int, str, int]:
    """A row without its path, and with a checksum: SQLite itself does not notice a flipped bit."""
    inode, size, modified, changed = stamp
    row = (str(inode), size, modified, changed, digest)  # an inode can be larger than SQLite's signed integers
    return (*row, zlib.crc32(repr(row).encode()))


def _transact(work: Callable[[sqlite3.Connection], object]) -> bool:
    """Do `work` in one transaction; False where that cannot be done here. A damaged file is removed.

    With a rollback journal and not a write-ahead log, which needs memory that the nodes of a cluster do not share.
    """
    file = cache_folder() / _FILE
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.closing(sqlite3.connect(file, timeout=_WAIT)) as database, database:
            database.execute("PRAGMA synchronous = OFF")  # after a power cut it may be damaged, and then it is removed
            database.execute(_FORM)
            work(database)
        return True
    except (OSError, sqlite3.OperationalError):  # no folder to write to, a full disk, held by another for long
        return False
    except (sqlite3.DatabaseError, UnicodeError):
        with contextlib.suppress(OSError):
            file.unlink()
        return False
