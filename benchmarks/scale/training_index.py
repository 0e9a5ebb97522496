"""The order of training samples over very many documents: building it, and what a rank holds of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.scale.measured import Cost, Point, Series, cost_of
from benchmarks.training.loader import write_component
from mixtures.formats.indexed import risk_prefix

_SHARES = {"many": 0.9, "more": 0.1}  # of the documents, by component
_GOAL = 10**9


def measure(folder: Path, small: bool) -> Iterator[Series | str]:
    """Two components of documents of one token, packed each by itself and then all together."""
    sizes = (10**5, 3 * 10**5, 10**6) if small else (10**6, 10**7, 10**8)
    for together in ("component", "all"):
        disk = 0
        built: list[Point] = []
        opened: list[Point] = []
        warm = write_documents(folder / f"{together}-warm", 1_000)
        for size in sizes:
            data = write_documents(folder / f"{together}-{size}", size)
            for points in (built, opened):  # the second process finds what the first has built
                cost = cost_of(open_epoch, data, together, warm_up=(warm, together))
                points.append(Point(size, size, cost))
            disk = sum(file.stat().st_size for file in (data / "index").rglob("*") if file.is_file())
            shutil.rmtree(data)
        yield Series(f"Index built, packed by {together}", "documents", "document", tuple(built))
        yield Series(f"Index opened by a further rank, packed by {together}", "documents", "document", tuple(opened))
        build, rank = goal(built), goal(opened)
        yield (
            f"At 10⁹ documents, as from {sizes[-2]:,} to {sizes[-1]:,}: {build.processor / 60:.0f} minutes and "
            f"{build.megabytes / 1e3:.1f} GB to build it once, {disk * _GOAL / sizes[-1] / 1e9:.0f} GB of files, and "
            f"{rank.processor:.1f} s and {rank.megabytes:,.0f} MB of its own for a further rank.\n"
        )


def goal(points: list[Point]) -> Cost:
    """What a billion documents would take: the largest size, and as much more a document as between the last two."""
    before, last = points[-2:]
    more = last.cost.beyond(before.cost)
    times = (_GOAL - last.units) / (last.units - before.units)
    return Cost(*(getattr(last.cost, what) + max(0.0, getattr(more, what)) * times
                  for what in ("processor", "wall", "megabytes")))  # fmt: skip


def write_documents(folder: Path, size: int) -> Path:
    """The token files of so many documents."""
    folder.mkdir()
    for name, share in _SHARES.items():
        write_component(folder / name, np.ones(int(share * size), np.int32))
    return folder


def open_epoch(data: Path, together: str) -> None:
    """What a rank does at its start: the epoch's index, built unless it is there, and a first batch."""
    import torch

    from mixtures.spec.mixture import PackingSpec
    from pretrain.data.epoch import Batches, DataSettings, build_epoch
    from pretrain.data.token_files import ComponentFiles
    from pretrain.runtime.distributed import process_groups
    from pretrain.spec import ParallelSpec

    prefixes = [data / name for name in _SHARES]
    tokens = [ComponentFiles(prefix.name, prefix, risk_prefix(prefix)) for prefix in prefixes]
    packing = PackingSpec.model_validate({"together": together, "reset_attention": True})
    settings = DataSettings(2048, 50_000, 0, data / "index", packing)
    with process_groups(ParallelSpec(), 0):
        epoch = build_epoch(tokens, settings, seed=0)
        next(Batches(epoch, 8, 8).read(0, torch.device("cpu")))
