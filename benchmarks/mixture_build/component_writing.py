"""Tokens a second at which a component is written out of 10, 1,000 and 10,000 tokenised shards.

    python -m benchmarks.mixture_build.component_writing [--tokens 400] [--rounds 3] >
    benchmarks/results/component_writing.md

Makes shards of random tokens, puts their documents in seeded order and writes them with their risk twin, hashes
included, with one and with two workers: by turns, after a small job that starts the workers. Beside it: a plain copy of
the same bytes with the same hashes, which is the limit, and a loop over documents that keeps 1,024 shards open, which
is how it was done before. All bytes are compared. Leaves with 1 below 40 M tokens a second a core or 1.8 times one
worker. Files go where temporary files go: set TMPDIR to measure another disk, or none (/dev/shm).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.reading.memory import descendants
from infra.jobs.local import LocalWorkers
from infra.stages.stage import Workspace
from mixtures.building.build import write_streams
from mixtures.building.gather import locate
from mixtures.building.pieces import hashes
from mixtures.building.streams import Stream, stream_of
from mixtures.corpora import select
from mixtures.corpora.columns import Corpus, ShardPaths
from mixtures.formats.indexed import BinWriter, bin_path, idx_path, open_pair, risk_prefix, write_idx
from mixtures.formats.long_arrays import mapped_in
from mixtures.selection.resolve import TokenisedCorpus
from mixtures.tokenizing.shard_files import shard_record

FLOOR, SPEEDUP = 40e6, 1.8
BLOCK = 1 << 25  # bytes copied at a time
LOOPED = 20_000  # documents of the loop over documents, which takes long


@dataclass(frozen=True)
class Timed:
    """Seconds of the clock, and of a processor: of this process and of the busiest of its workers, which work at the
    same time.
    """

    wall: float
    cpu: float


def made_shards(folder: Path, shards: int, tokens: int, length: int) -> TokenisedCorpus:
    """`tokens` random tokens in shards, in documents of about `length` tokens, as `kind: mixture` tokenises them."""
    draw, per_shard = np.random.default_rng(0), tokens // shards
    folder.mkdir(parents=True)
    lengths = draw.lognormal(np.log(length) - 0.5, 1, max(1, per_shard // length)).astype(np.int64) + 2
    ids = draw.integers(0, 50_000, int(lengths.sum()), np.uint16)
    levels = np.where(draw.random(len(ids)) < 0.05, draw.integers(1, 255, len(ids)), 1).astype(np.uint8)
    for number in range(shards):
        _made_shard(folder / f"{number:05d}", np.roll(ids, number), np.roll(levels, number), lengths)
    count = len(lengths) * shards
    documents = select.Documents(
        np.repeat(np.arange(shards, dtype=np.int32), len(lengths)),
        np.tile(np.arange(len(lengths), dtype=np.int32), shards),
        np.tile(lengths, shards),
        draw.integers(0, 1 << 64, count, np.uint64),
    )
    names = [f"{number:05d}.parquet" for number in range(shards)]
    return TokenisedCorpus(Corpus("made", ShardPaths(folder, names), {"documents": count}, True), folder, documents)


def _made_shard(prefix: Path, ids: np.ndarray, levels: np.ndarray, lengths: np.ndarray) -> None:
    tokens, risks = BinWriter(bin_path(prefix), "uint16"), BinWriter(bin_path(risk_prefix(prefix)), "uint8")
    tokens.append(ids)
    risks.append(levels)
    record = {"tokens_sha256": tokens.finish(), "risk_sha256": risks.finish()}
    write_idx(idx_path(prefix), lengths, "uint16")
    write_idx(idx_path(risk_prefix(prefix)), lengths, "uint8", record["tokens_sha256"])
    prefix.with_name(prefix.name + ".done.json").write_text(json.dumps(record))


def written(corpus: TokenisedCorpus, folder: Path, workers: LocalWorkers) -> tuple[Stream, Timed]:
    """Write all documents of the corpus in training order; the folder is made anew."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with mapped_in(folder / ".arrays"):
        total = int(corpus.documents.tokens.sum())
        selection = select.choose(corpus.documents, total, seed=0)
        stream = stream_of("it", folder, locate(corpus), corpus.documents, selection)
        workspace = Workspace(folder, folder, workers.workers, quiet=True)
        return stream, timed(lambda: write_streams([stream], workspace, workers))


def timed(work: Callable[[], object]) -> Timed:
    """Time of some work. What the workers do at the same time counts once, as if nobody else used the processors."""
    os.sync()
    before, wall, cpu = _workers_seconds(), time.perf_counter(), time.process_time()
    work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    busiest = max((seconds - before.get(pid, 0.0) for pid, seconds in _workers_seconds().items()), default=0.0)
    return Timed(wall, cpu + busiest)


def _workers_seconds() -> dict[int, float]:
    """Processor seconds of every child of this process."""
    seconds = {}
    for pid in descendants(os.getpid()):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        seconds[pid] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return seconds


def copied(files: tuple[Path, ...], target: Path) -> None:
    """Copy files and hash them on the way."""
    for path in files:
        state = hashlib.sha256()
        with open(path, "rb", buffering=0) as source, open(target, "wb", buffering=0) as copy:
            while block := source.read(BLOCK):
                copy.write(block)
                state.update(block)
            os.fsync(copy.fileno())


def looped(stream: Stream, count: int, target: Path) -> None:
    """The first `count` documents one after another, 1,024 shards open: how a component was written before."""

    def opened(number: int) -> tuple[object, object]:
        prefix = stream.located.source.prefix(number)
        return open_pair(prefix, shard_record(prefix).tokens_sha256)

    keep = lru_cache(1024)(opened)
    tokens, risks = BinWriter(bin_path(target), stream.dtype), BinWriter(bin_path(risk_prefix(target)), "uint8")
    positions = stream.selection.position[:count]
    shards, rows = stream.documents.shard[positions].tolist(), stream.documents.row[positions].tolist()
    for first in range(0, count, 1 << 13):
        ids, levels = [], []
        for shard, row in zip(shards[first : first + (1 << 13)], rows[first : first + (1 << 13)], strict=True):
            pair = keep(shard)
            ids.append(pair[0].document(row))
            levels.append(pair[1].document(row))
        tokens.append(np.concatenate(ids))
        risks.append(np.concatenate(levels))
    tokens.finish(), risks.finish()


def compare(stream: Stream, count: int, target: Path) -> None:
    """Leave with an error unless the loop over documents wrote the same bytes as the pieces."""
    length = stream.before(count)
    for ours, theirs, width in zip(
        files_of(stream), (bin_path(target), bin_path(risk_prefix(target))), (2, 1), strict=True
    ):
        with open(ours, "rb") as file:
            assert file.read(length * width) == theirs.read_bytes(), f"{ours}: other bytes"


def files_of(stream: Stream) -> tuple[Path, Path]:
    """Token and risk file, before they are renamed."""
    folder = stream.folder / ".writing"
    return folder / "it.bin", folder / "it.risk.bin"


def measured(folder: Path, shards: int, tokens: int, length: int, rounds: int) -> tuple[str, bool]:
    """One row of the table, and whether it is good enough."""
    corpus = made_shards(folder / "shards", shards, tokens, length)
    one, two, copy, digests = [], [], [], set()
    with LocalWorkers(1) as single, LocalWorkers(2) as pair:
        written(made_shards(folder / "warm", 2, 6_000_000, 500), folder / "w", pair)
        for _ in range(rounds):
            for workers, times in ((single, one), (pair, two)):
                stream, seconds = written(corpus, folder / "out", workers)
                times.append(seconds)
                digests.add(hashes(stream))
            copy.append(timed(partial(copied, files_of(stream), folder / "copy")))
    count = min(LOOPED, len(stream))
    loop = timed(partial(looped, stream, count, folder / "loop"))
    compare(stream, count, folder / "loop")
    assert len(digests) == 1, "one and two workers wrote other bytes"
    return _row(stream, shards, loop, count, one, two, copy)


def _row(
    stream: Stream, shards: int, loop: Timed, count: int, one: list[Timed], two: list[Timed], copy: list[Timed]
) -> tuple[str, bool]:
    rate = stream.tokens / median(timing.cpu for timing in one)
    by_clock, faster = (
        median(getattr(first, name) / getattr(second, name) for first, second in zip(one, two, strict=True))
        for name in ("wall", "cpu")
    )
    limit = stream.tokens / median(timing.cpu for timing in copy)
    before = stream.before(count) / loop.cpu
    walls = [stream.tokens / median(timing.wall for timing in times) for times in (one, two)]
    figures = [rate, walls[0], walls[1], limit, before]
    shown = " | ".join(f"{figure / 1e6:,.1f}" for figure in figures)
    mean = stream.tokens // len(stream)
    return (
        f"| {shards:,} | {mean:,} | {shown} | {faster:.2f} | {by_clock:.2f} | {rate / before:.1f} |",
        rate >= FLOOR and faster >= SPEEDUP,
    )


def main() -> int:
    """Measure every number of shards, with long and with short documents, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=400, help="millions")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--shards", type=int, nargs="*", default=[10, 1000, 10_000])
    parser.add_argument("--lengths", type=int, nargs="*", default=[600, 60], help="tokens of a document, about")
    options = parser.parse_args()
    columns = ["shards", "tokens a document", "one core", "one worker, clock", "two workers, clock", "copy, one core",
               "loop over documents, one core", "two workers / one", "by the clock", "over the loop"]  # fmt: skip
    print("# Writing a component\n\nM tokens a second, risk twin and hashes included.\n")
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    good = True
    for length in options.lengths:
        for shards in options.shards:
            with tempfile.TemporaryDirectory() as folder:
                row, fine = measured(Path(folder), shards, options.tokens * 1_000_000, length, options.rounds)
            good &= fine
            print(row, flush=True)
    command = (
        f"python -m benchmarks.mixture_build.component_writing --tokens {options.tokens} --rounds {options.rounds}"
    )
    print(f"\n`{command}`: medians. One core, and two workers against one, by seconds of the processor: those of the")
    print("command and of its busiest worker, so that other work on the machine counts little. All bytes were equal.")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
