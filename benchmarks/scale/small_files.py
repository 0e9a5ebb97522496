"""Very many small files: listing them, planning their shards, and the fingerprint of their contents."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from benchmarks.scale.measured import Point, Series, cost_of
from curation.pipeline.split import pieces_of, shards_of
from curation.sources.input_files import InputFile, fingerprint_of_sources
from curation.spec import CurationSpec

_FOLDER = 10_000  # files of a folder


def measure(folder: Path, small: bool) -> Iterator[Series | str]:
    """Up to a million files of one line, in folders of ten thousand."""
    sizes = (1_000, 3_000, 10_000) if small else (10_000, 100_000, 1_000_000)
    os.environ["HORMESIS_CACHE"] = str(folder / "cache")
    planned, fingerprinted = [], []
    write_files(folder / "warm", 100)
    warm = str(folder / "warm")
    for size in sizes:
        data = folder / str(size)
        write_files(data, size)
        planned.append(Point(size, size, cost_of(plan, str(data), size, warm_up=(warm, 100))))
        fingerprinted.append(Point(size, size, cost_of(fingerprint, str(data), warm_up=(warm,))))
        shutil.rmtree(data)
    yield Series("Files listed and shards planned", "files", "file", tuple(planned))
    yield Series("Contents fingerprinted, nothing remembered", "files", "file", tuple(fingerprinted))


def write_files(folder: Path, size: int) -> None:
    """Files of one document each."""
    for first in range(0, size, _FOLDER):
        below = folder / f"{first // _FOLDER:03d}"
        below.mkdir(parents=True)
        for number in range(first, min(first + _FOLDER, size)):
            (below / f"{number:07d}.jsonl").write_text(f'{{"text": "document {number} of many"}}\n')


def spec_of(data: str) -> CurationSpec:
    """A curation that reads them."""
    corpora = {"web": {"sources": [{"path": f"{data}/*/*.jsonl"}]}}
    return CurationSpec.model_validate({"name": "many", "corpora": corpora, "steps": []})


def plan(data: str, size: int) -> None:
    """Everything that a run decides before its first pass."""
    shards = shards_of(pieces_of(spec_of(data), _no_rows), Path(data))
    assert sum(len(shard.input_files) for shard in shards) == size


def _no_rows(parquet: list[InputFile]) -> dict[str, int | None]:
    assert not parquet
    return {}


def fingerprint(data: str) -> None:
    """What tells whether the inputs have changed."""
    fingerprint_of_sources(spec_of(data).corpora["web"].sources)
