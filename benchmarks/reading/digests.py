"""Checksums of input files: GB/s against reading alone, on one thread and on all, and a second start.

    python -m benchmarks.reading.digests [--gigabytes 2] [--files 100000] [--folder DIR]

Files are in the page cache, so that the disk is not what is measured. `today` is one file after another on one thread
(`infra.artifacts.fingerprint.digest_file`), as it was before there was `infra.files.digests`. Prints ratios of the
same run.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.artifacts.fingerprint import digest_file
from infra.files.digests import cores, digests

_LARGE = 8  # files that the gigabytes are in
_SMALL = 2_000  # bytes of a small file
_CHUNK = 1 << 18


@dataclass(frozen=True)
class Timed:
    """Seconds by the clock, and seconds of processors."""

    wall: float
    processor: float


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="where the files are made [a temporary folder]")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        os.environ["HORMESIS_CACHE"] = f"{folder}/cache"
        large = _make(Path(folder, "large"), _LARGE, int(options.gigabytes * 1e9 / _LARGE))
        small = _make(Path(folder, "small"), options.files, _SMALL)
        time.sleep(2.5)  # a file that was written a moment ago is not remembered
        _report(f"{options.gigabytes:g} GB in {_LARGE} files", large)
        _report(f"{options.files:,} files of {_SMALL:,} bytes", small)


def _report(title: str, files: Sequence[Path]) -> None:
    total = sum(file.stat().st_size for file in files)
    rows = {"read only, 1 thread": _timed(lambda: list(map(_read, files))),
            "today: digest_file, 1 thread": _timed(lambda: list(map(digest_file, files)))}  # fmt: skip
    for threads in dict.fromkeys((1, 2, cores())):
        _forget()
        rows[f"digests, {threads} threads"] = _timed(lambda threads=threads: digests(files, threads=threads))  # type: ignore[misc]
    rows["digests, second start"] = _timed(lambda: digests(files))
    today = rows["today: digest_file, 1 thread"].wall
    print(f"\n{title}\n{'':32}{'GB/s':>8}{'files/s':>12}{'seconds':>9}{'processor':>11}{'of today':>10}")
    for name, timed in rows.items():
        print(f"{name:32}{total / timed.wall / 1e9:8.2f}{len(files) / timed.wall:12,.0f}{timed.wall:9.2f}"
              f"{timed.processor:11.2f}{today / timed.wall:9.1f}x")  # fmt: skip


def _make(folder: Path, count: int, size: int) -> list[Path]:
    """`count` files of `size` random bytes, in folders of a thousand."""
    block = os.urandom(min(size, 1 << 20))
    files = [folder / f"{number // 1000:05d}" / f"{number:06d}.bin" for number in range(count)]
    for number, file in enumerate(files):
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("wb") as out:
            out.write(number.to_bytes(8, "little"))
            for written in range(8, size, len(block)):
                out.write(block[: size - written])
    return files


def _read(file: Path) -> None:
    buffer = bytearray(_CHUNK)
    with open(file, "rb", buffering=0) as source:
        while source.readinto(buffer):
            pass


def _forget() -> None:
    for file in Path(os.environ["HORMESIS_CACHE"]).glob("digests*"):
        file.unlink()


def _timed(work: Callable[[], object]) -> Timed:
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return Timed(time.perf_counter() - wall, time.process_time() - processor)


if __name__ == "__main__":
    main()
