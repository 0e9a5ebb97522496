"""Ids that documents share: ids a second and memory of `curation.pipeline.duplicate_ids`, against polars counting
them in memory.

    python -m benchmarks.reading.shared_ids [--millions 5 20]

Made ids of about 27 characters, one of which stands twice, in Parquet files of half a million. A process for each
number and method, so that peaks are its own; both read the same files.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import polars as pl

from curation.pipeline.duplicate_ids import shared_ids

_OF_A_FILE = 500_000


def write_ids(folder: Path, documents: int) -> list[Path]:
    """The files; the last id of all is the first one."""
    files = []
    for first in range(0, documents, _OF_A_FILE):
        numbers = pl.int_range(first, min(first + _OF_A_FILE, documents), eager=True)
        numbers = numbers.set(numbers == documents - 1, 0)
        files.append(folder / f"{len(files):05d}.parquet")
        pl.DataFrame({"id": numbers.hash(7).cast(pl.String) + "-" + numbers.cast(pl.String)}).write_parquet(files[-1])
    return files


def by_buckets(files: list[Path], documents: int) -> int:
    """Ours."""
    with tempfile.TemporaryDirectory(dir=files[0].parent) as work:
        return shared_ids(files, documents, Path(work), lambda count: None).count


def in_memory(files: list[Path], documents: int) -> int:
    """The peer."""
    return pl.read_parquet(files, columns=["id"])["id"].value_counts().filter(pl.col("count") > 1).height


def measured(method: Callable[[list[Path], int], int], files: list[Path], documents: int) -> tuple[float, float]:
    """Processor seconds, and MB that the peak rises by."""
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    assert method(files, documents) == 1
    return time.process_time() - began, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e3


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--millions", type=float, nargs="+", default=[5, 20])
    options = parser.parse_args()
    print(f"| ids | method | processor, s | M ids/s | peak rises by, MB |\n|{'---|' * 5}")
    for documents in (int(millions * 1e6) for millions in options.millions):
        with tempfile.TemporaryDirectory() as name:
            files = write_ids(Path(name), documents)
            for method in (by_buckets, in_memory):
                with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                    seconds, peak = pool.submit(measured, method, files, documents).result()
                print(f"| {documents:,} | {method.__name__} | {seconds:.1f} | {documents / seconds / 1e6:.1f} | "
                      f"{peak:,.0f} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
