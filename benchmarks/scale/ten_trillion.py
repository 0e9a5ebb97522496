"""The plan of a mixture of ten trillion tokens."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from benchmarks.mixture_build.memory import write_huge
from benchmarks.scale.measured import Cost, Point, Series, best_of_command

_TOKENS = 100_000_000  # of a shard


def measure(folder: Path, small: bool) -> Iterator[Series | str]:
    """`hormesis plan` over one, three and ten trillion tokens, a hundred million a shard, beyond one shard's."""
    start, points = plan(folder, 1), []
    for shards in (1_000, 3_000, 10_000) if small else (10_000, 30_000, 100_000):
        points.append(Point(shards * _TOKENS, shards, plan(folder, shards).beyond(start)))
    yield Series("Planned", "tokens", "shard", tuple(points))
    yield f"The command's start, over one shard: {start.processor:.2f} s, {start.megabytes:.0f} MB.\n"


def plan(folder: Path, shards: int) -> Cost:
    """The best of three."""
    job = write_huge(folder, shards, _TOKENS)
    cost = best_of_command(3, "plan", str(job))
    shutil.rmtree(folder / "huge")
    return cost
