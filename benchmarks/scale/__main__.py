"""A simulation of the large, on a small machine: what a file, a document, a shard, a rank costs as they become many.

    python -m benchmarks.scale [--out benchmarks/results/scale.md] [--parts files index …] [--small]

Every part measures at three sizes and prints time and memory of a unit of work; what is flat costs as much a unit at
the largest size as at the smallest, to a factor of 1.5. Leaves with 1 where something is not. `--small`: a quick look.
Whole, it takes about half an hour on two cores, 8 GB of disk and 6 GB of memory.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.safety.chaos import ROOT
from benchmarks.scale import many_shards, ray_ranks, slurm_ranks, small_files, ten_trillion, training_index
from benchmarks.scale.measured import FLAT, Series
from infra.atomic import write_text

RESULT = ROOT / "benchmarks" / "results" / "scale.md"
Measure = Callable[[Path, bool], Iterator[Series | str]]
MEASURES: dict[str, tuple[str, Measure]] = {
    "files": ("A million small files", small_files.measure),
    "index": ("The index of a billion documents", training_index.measure),
    "shards": ("A corpus in three thousand shards", many_shards.measure),
    "plan": ("A plan of ten trillion tokens", ten_trillion.measure),
    "slurm": ("512 ranks, and 512 arms, of Slurm", slurm_ranks.measure),
    "ray": ("512 ranks of Ray", ray_ranks.measure),
}
UNCONFIRMED = """\
## What a real cluster has not confirmed

- Slurm and Ray are played. Slurm's scheduling, its limits on the size of an array and of a script, the time that
  `scontrol requeue` takes, and `srun` over real nodes are not in these figures; nor are Ray's scheduler, its object
  store, and the start of 512 workers with their imports.
- No rank here computes or talks to another: NCCL's start with 512 ranks, its time-outs, and the export over many nodes
  were not run. What was run with real ranks: eight of gloo on one machine, and one GPU.
- Files lay on one local disk. A network file system's listing of a million files, its open and stat calls, and what 512
  ranks do to it as they map one index at once are not known.
- The index of 10⁹ documents is reckoned from 10⁸, whose documents have one token; the ten trillion tokens were planned
  and not written.
"""


def main() -> int:
    """Run the parts; the page is written after each, so that a kill leaves what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--parts", nargs="+", choices=MEASURES, default=list(MEASURES))
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args()
    os.environ.setdefault("PYTHONWARNINGS", "ignore")  # of Megatron, once for every process
    sections: list[str] = []
    series: list[Series] = []
    for name in options.parts:
        title, measure = MEASURES[name]
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="scale-") as folder:
            results = list(measure(Path(folder), options.small))
        series += [result for result in results if isinstance(result, Series)]
        body = "\n".join(result.table() if isinstance(result, Series) else result for result in results)
        sections.append(f"## {title}\n\n{body}\n{time.monotonic() - began:.0f} s in all.\n")
        write_text(options.out, page(options.small, series, sections))
        print(sections[-1], flush=True)
    return 0 if all(measured.is_flat for measured in series) else 1


def page(small: bool, series: list[Series], sections: list[str]) -> str:
    """Everything measured so far, the summary first."""
    rows = "".join(
        f"| {measured.work} | {measured.points[0].size:,} to {measured.points[-1].size:,} {measured.sized_by} "
        f"| {measured.time_ratio:.2f} | {measured.memory_ratio:.2f} | {'yes' if measured.is_flat else '**no**'} |\n"
        for measured in series
    )
    return (f"# A simulation of the large\n\n`python -m benchmarks.scale{' --small' if small else ''}`, {machine()}. "
            "Ratios are those of a unit of work (a file, a document, a token, a shard, a rank, an arm), at the largest "
            f"size over the smallest; up to {FLAT} is flat. Memory is a process's own beyond its imports, or the "
            "largest process's of a command.\n\n"
            f"| work | from the smallest to the largest | time | memory | flat |\n|---|---|---|---|---|\n{rows}\n"
            + "\n".join(sections) + f"\n{UNCONFIRMED}")  # fmt: skip


def machine() -> str:
    """Processor and cores."""
    names = [line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
             if line.startswith("model name")]  # fmt: skip
    return f"{names[0] if names else platform.processor()}, {len(os.sched_getaffinity(0))} cores"


if __name__ == "__main__":
    sys.exit(main())
