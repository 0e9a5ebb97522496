"""Very many small files: documents in a file of their own against the same documents in ten files.

    python -m benchmarks.reading.small_files [--files 100000] [--format jsonl] [--steps none score] [--rounds 3]
    [--workers 2]

Runs `hormesis run` in turn on both, without steps, so that reading and writing are all there is, and with the cheapest
scorer, and prints the ratios of the medians. Files written are all paths that are seen below the output folder, ten
times a second and at the end. Leaves with 1 where in any row 2,000 files or more are written or the wall time is more
than twice that of ten files.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from benchmarks.safety.chaos import ROOT, WORDS, start

RESULT = ROOT / "benchmarks" / "results" / "small_files.md"
FORMATS = ("jsonl", "jsonl.gz", "jsonl.zst", "txt", "parquet")
STEPS = {"none": "[]", "score": "[{step: score, scorer: {name: profanity}}]"}
FEW = 10
MAX_FILES, MAX_TIME_RATIO = 2_000, 2.0  # files written, and wall time as a multiple of that of ten files


@dataclass(frozen=True)
class Run:
    """Seconds by the clock and of processors, and files written on the way and left at the end."""

    wall: float
    processor: float
    written: int
    left: int


def write_inputs(folder: Path, files: int, suffix: str) -> None:
    """`many/` has a document a file, `few/` the same ones in the same order in ten files; a YAML for both."""
    draw, words = random.Random(0), WORDS.split()
    texts = [" ".join(draw.choices(words, k=60)) for _ in range(files)]
    for number, text in enumerate(texts):
        _write(folder / "many" / f"{number // 10_000:03d}" / f"{number:07d}.{suffix}", [text])
    for number in range(FEW):
        chunk = texts[number * files // FEW : (number + 1) * files // FEW]
        _write(folder / "few" / f"{number:03d}" / f"{number}.{suffix}", chunk)
    for name in ("many", "few"):
        for steps, section in STEPS.items():
            (folder / f"{name}-{steps}.yaml").write_text(
                f"kind: curation\nname: {name}\ncorpora:\n  it: {{sources: [{{path: '{name}/*/*.{suffix}'}}]}}\n"
                f"steps: {section}\n"
            )


def _write(file: Path, texts: list[str]) -> None:
    import gzip

    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".parquet":
        pq.write_table(pa.table({"text": texts}), file)
        return
    rows = texts if ".txt" in file.name else [json.dumps({"text": text}) for text in texts]
    data = "".join(row + "\n" for row in rows).encode()
    packed = {".gz": gzip.compress, ".zst": zstandard.compress}.get(file.suffix)
    file.write_bytes(packed(data) if packed else data)


def curate(folder: Path, name: str, workers: int) -> Run:
    """One run, into a folder of its own, with nothing remembered from another."""
    with tempfile.TemporaryDirectory(dir=folder) as out:
        os.environ["HORMESIS_CACHE"] = f"{out}/cache"
        before, began, seen = _processor(), time.monotonic(), set[str]()
        process = start(folder / f"{name}.yaml", Path(out) / "runs" / "out", "--workers", str(workers))
        while process.poll() is None:
            seen.update(_files(Path(out) / "runs"))
            time.sleep(0.1)
        wall = time.monotonic() - began
        if process.returncode:
            raise SystemExit(process.communicate()[1])
        left = set(_files(Path(out) / "runs"))
        return Run(wall, _processor() - before, len(seen | left), len(left))


def _files(folder: Path) -> Iterator[str]:
    """Files below a folder, without that of the artifact which is on its way or done; some may vanish meanwhile."""
    for root, _, names in os.walk(folder):
        inside = os.path.relpath(root, folder).partition("/")[2]
        yield from (f"{inside}/{name}" for name in names)


def _processor() -> float:
    """Seconds of all processes that have been waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measured(suffix: str, steps: str, files: int, rounds: int, workers: int) -> tuple[str, bool]:
    """A row of the table, and whether the bounds hold."""
    runs: dict[str, list[Run]] = {"many": [], "few": []}
    with tempfile.TemporaryDirectory() as name:
        write_inputs(Path(name), files, suffix)
        for turn in range(rounds):
            for layout in sorted(runs, reverse=bool(turn % 2)):
                runs[layout].append(curate(Path(name), f"{layout}-{steps}", workers))
    wall, processor = (
        {layout: statistics.median(getattr(run, what) for run in turns) for layout, turns in runs.items()}
        for what in ("wall", "processor")
    )
    ratio = wall["many"] / wall["few"]
    written, left = max(run.written for run in runs["many"]), runs["many"][-1].left
    seconds = [
        f"{medians['many']:.1f} | {medians['few']:.1f} | {medians['many'] / medians['few']:.2f}"
        for medians in (wall, processor)
    ]
    row = f"| {suffix} | {steps} | {files:,} | {written:,} | {left:,} | {' | '.join(seconds)} |\n"
    return row, written < MAX_FILES and ratio <= MAX_TIME_RATIO


def main() -> int:
    """Measure every format and write the figures down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--format", nargs="+", default=["jsonl"], choices=FORMATS)
    parser.add_argument("--steps", nargs="+", default=list(STEPS), choices=STEPS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    rows = [measured(suffix, steps, options.files, options.rounds, options.workers)
            for suffix in options.format for steps in options.steps]  # fmt: skip
    columns = ("format", "steps", "files of one document", "files written", "of them left", "wall, s", "ten files, s",
               "ratio", "processor, s", "ten files, s", "ratio")  # fmt: skip
    command = f"python -m benchmarks.reading.small_files --files {options.files} --format {' '.join(options.format)}"
    cores = len(os.sched_getaffinity(0))
    held = all(holds for _, holds in rows)
    text = (f"# Very many small files\n\n`{command}`: medians of {options.rounds} rounds, {options.workers} workers, "
            f"{cores} cores.\n\n"
            f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}\n" + "".join(row for row, _ in rows)
            + f"\nbounds (fewer than {MAX_FILES:,} files written, wall time within {MAX_TIME_RATIO:g} times): "
            f"{'held' if held else 'not held by every row'}\n")  # fmt: skip
    options.out.write_text(text)
    print(text)
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
