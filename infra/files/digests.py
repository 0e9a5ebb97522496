"""SHA-256 of many files at once: read by threads, very many small ones by processes, and not read again while a file
stays what it was.
"""

from __future__ import annotations

import contextlib
import hashlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from infra.errors import InputError
from infra.files import digest_cache
from infra.files.digest_cache import Stamp
from infra.render.progress import Advance, bar

_BUFFER = 1 << 18  # bytes read at once: they stay in a core's cache between the copy and the hash
_BATCH_BYTES, _BATCH_FILES = 1 << 24, 256  # handed to a thread together
_REMEMBERED_BYTES, _REMEMBERED_FILES = 1 << 23, 10_000  # that are worth a transaction of their own
_QUICK = 1 << 13  # bytes of a file that is read as quickly as it is asked for in the cache
_LONG_BYTES, _LONG_FILES = 1 << 30, 20_000  # from here on a terminal shows a bar
_MANY = 20_000  # small files from which on processes are worth their start
_MAX_THREADS = 16  # more than any disk needs


def digests(
    files: Sequence[str | Path], *, sizes: Sequence[int] | None = None, threads: int | None = None
) -> list[str]:
    """SHA-256 (hex) of the content of local files, in their order.

    Files that this user's hormesis has read before, and whose size, times and inode are as they were, are not opened;
    small ones are. `sizes` (bytes) are those of a listing a moment ago, which spares asking for those of small files.
    `threads` is one a core unless given. Raises InputError for a file that cannot be read or that changes meanwhile.
    """
    paths = [file if isinstance(file, str) and file.startswith("/") else os.path.abspath(file) for file in files]
    listed = dict(zip(paths, sizes, strict=True)) if sizes is not None else dict.fromkeys(paths, _QUICK + 1)
    stamps = {path: _stamp(path) for path, size in listed.items() if size > _QUICK}
    known = digest_cache.lookup({path: stamp for path, stamp in stamps.items() if stamp.size > _QUICK})
    listed.update((path, stamp.size) for path, stamp in stamps.items())
    known |= _small_ones({path: size for path, size in listed.items() if size <= _QUICK}, threads or cores())
    todo = {path: size for path, size in listed.items() if path not in known}
    with contextlib.closing(_hash(todo, threads or cores())) as batches:
        for several in _gathered(batches):
            known.update((file.path, file.digest) for file in several)
            digest_cache.remember((file.path, file.stamp, file.digest) for file in several if file.stamp)
    return [known[path] for path in paths]


def _small_ones(sizes: dict[str, int], processes: int) -> dict[str, str]:
    """Digests of small files, where there are very many: threads would wait for each other at every call, as each holds
    the interpreter's lock again after it. A file that cannot be read, or is no longer of its size, is left to them.
    """
    if len(sizes) < _MANY or processes < 2 or multiprocessing.current_process().daemon:
        return {}
    paths = list(sizes)
    batches = [paths[first : first + _MANY // 10] for first in range(0, len(paths), _MANY // 10)]
    known: dict[str, str] = {}
    # forked, as another start would import the caller's program again; Ctrl-C is for this process alone
    context, ignored = multiprocessing.get_context("fork"), (signal.SIGINT, signal.SIG_IGN)
    pool = ProcessPoolExecutor(processes, context, initializer=signal.signal, initargs=ignored)
    try:
        # before the bar, whose thread may hold a lock
        checksums = pool.map(_batch, batches, [[sizes[path] for path in batch] for batch in batches])
        with bar("checksums", len(paths), "files") as advance:
            for batch, several in zip(batches, checksums, strict=True):
                known.update((path, checksum) for path, checksum in zip(batch, several, strict=True) if checksum)
                advance(len(batch))
    except BrokenProcessPool:
        pass  # one was killed, for its memory perhaps: the threads read what is left
    finally:
        pool.shutdown(cancel_futures=True)
    return known


def _batch(paths: list[str], sizes: list[int]) -> list[str]:
    """Digests of small files, in another process; '' for one that is not what it was listed as."""
    return [_digest_small(path, size) for path, size in zip(paths, sizes, strict=True)]


def _digest_small(path: str, size: int) -> str:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            hashed = _small(path, descriptor, size)
        finally:
            os.close(descriptor)
    except OSError:
        return ""
    return hashed.digest if hashed else ""


def _gathered(batches: Iterator[list[_Hashed]]) -> Iterator[list[_Hashed]]:
    """Batches of small files put together, as opening the cache's file takes as long as hashing dozens of them."""
    several: list[_Hashed] = []
    for batch in batches:
        several += batch
        if len(several) >= _REMEMBERED_FILES or sum(file.size for file in batch) > _REMEMBERED_BYTES:
            yield several
            several = []
    if several:
        yield several


def digest_of(file: str | Path) -> str:
    """`digests` of one file."""
    return digests([file])[0]


def cores() -> int:
    """Cores that this process may use."""
    return min(_MAX_THREADS, len(os.sched_getaffinity(0)))


class _Hashed(NamedTuple):
    """A digest, the size of the file it is of, and its stamp if that will tell a later change."""

    path: str
    digest: str
    size: int
    stamp: Stamp | None = None


class _Stopped(Exception):
    """Nobody waits for this digest any more."""


@dataclass
class _Reader:
    """What the threads share: sizes in bytes as they were seen first, the bar, and whether to stop."""

    sizes: dict[str, int]
    advance: Advance
    stopped: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def batch(self, paths: list[str]) -> list[_Hashed]:
        """Read one batch of files."""
        buffer = memoryview(bytearray(_BUFFER))
        hashed = [self._file(path, buffer) for path in paths]
        self._tell(sum(file.size for file in hashed if file.size <= _BUFFER))
        return hashed

    def _tell(self, count: int) -> None:
        with self.lock:
            self.advance(count)

    def _file(self, path: str, buffer: memoryview) -> _Hashed:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                if self.sizes[path] <= _QUICK and (small := _small(path, descriptor, self.sizes[path])):
                    return small
                before = Stamp.of(os.fstat(descriptor))
                settled = before.settled
                digest = self._content(descriptor, before.size, buffer)
            finally:
                os.close(descriptor)
            after = Stamp.of(os.stat(path))  # by its name: another file may have taken its place
        except OSError as error:
            raise _unreadable(path, error) from None
        if before[:3] != after[:3]:  # the last is the inode's time, which a mere chmod changes
            raise InputError(f"{path}: changed while it was read; run again when nobody writes to it")
        return _Hashed(path, digest, after.size, after if settled and before == after else None)

    def _content(self, descriptor: int, size: int, buffer: memoryview) -> str:
        """Digest of the `size` bytes that there were when the file was opened; who adds to them is found out after."""
        sha256, left = hashlib.sha256(), size
        while left > 0 and (count := os.readv(descriptor, [buffer])):
            sha256.update(buffer[:count])
            left -= count
            if self.stopped:
                raise _Stopped
            if size > _BUFFER:  # small files are told of by the batch: a bar costs as much as one of them
                self._tell(count)
        return sha256.hexdigest()


def _small(path: str, descriptor: int, size: int) -> _Hashed | None:
    """Of a file that one call reads whole, so that nobody changes it in between; None where that call does not."""
    content = os.read(descriptor, size + 1)
    if len(content) == size:
        return _Hashed(path, hashlib.sha256(content).hexdigest(), size)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return None


def _hash(sizes: dict[str, int], threads: int) -> Generator[list[_Hashed], None, None]:
    """Batches as they are done. An error, or Ctrl-C, stops all threads at once."""
    if not sizes:
        return
    total = sum(sizes.values())
    short = total < _LONG_BYTES and len(sizes) < _LONG_FILES
    with bar("checksums", total, "bytes", quiet=short) as advance, ThreadPoolExecutor(threads) as pool:
        reader = _Reader(sizes, advance)
        futures: list[Future[list[_Hashed]]] = [pool.submit(reader.batch, batch) for batch in _batches(sizes)]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            reader.stopped = True
            pool.shutdown(wait=False, cancel_futures=True)


def _batches(sizes: dict[str, int]) -> Iterator[list[str]]:
    """Large files first and alone, so that none of them is what everybody waits for; small ones as they come."""
    batch: list[str] = []
    total = 0
    for path in sorted(sizes, key=lambda path: -sizes[path] if sizes[path] > _BATCH_BYTES else 0):
        if batch and (total + sizes[path] > _BATCH_BYTES or len(batch) == _BATCH_FILES):
            yield batch
            batch, total = [], 0
        batch.append(path)
        total += sizes[path]
    if batch:
        yield batch


def _stamp(path: str) -> Stamp:
    try:
        return Stamp.of(os.stat(path))
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: str, error: OSError) -> InputError:
    if isinstance(error, FileNotFoundError):
        return InputError(f"{path}: no such file")
    return InputError(f"{path}: cannot be read: {error.strerror or error}")
