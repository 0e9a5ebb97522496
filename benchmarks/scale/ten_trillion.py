"""The plan of a mixture of ten trillion tokens."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from benchmarks.mixture_build.memory import write_huge
from benchmarks.scale.measured import Point, Series, cost_of

_TOKENS = 100_000_000  # of a shard


def measure(folder: Path, small: bool) -> Iterator[Series | str]:
    """What `hormesis plan` does for a tenth of a trillion tokens, one, and ten, a hundred million a shard."""
    warm = folder / "warm"
    warm.mkdir()
    one, points = write_huge(warm, 1, _TOKENS), []
    for shards in (10, 100, 1_000) if small else (1_000, 10_000, 100_000):
        job = write_huge(folder, shards, _TOKENS)
        points.append(Point(shards * _TOKENS, shards, cost_of(plan, job, warm_up=(one,))))
        shutil.rmtree(folder / "huge")
    yield Series("Planned", "tokens", "shard", tuple(points))


def plan(job: Path) -> None:
    """Read the YAML and plan, as the command does; the plan's title says the tokens."""
    from hormesis import load

    kind, spec = load(job, None)
    assert "tokens" in kind.plan(spec).title
