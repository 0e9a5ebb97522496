"""Rows of big Parquet files, from their footers: read side by side, and once for a run, however often it is killed."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from curation.sources.input_files import InputFile, opened
from infra.atomic import write_json
from infra.render.progress import Advance

Progress = Callable[[str, int | None, str], AbstractContextManager[Advance]]

_AT_ONCE = 16  # footers are waited for, from a bucket above all


def row_counts(input_files: Sequence[InputFile], file: Path, progress: Progress) -> dict[str, int | None]:
    """Rows of each part by its location, None where the file cannot be opened; `file` keeps those that are known."""
    known: dict[str, int | None] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    if missing := [input_file for input_file in input_files if input_file.location not in known]:
        with progress("rows of Parquet files", len(missing), "files") as advance:
            known |= _read(missing, advance)
        write_json(file, {location: rows for location, rows in known.items() if rows is not None})
    return known


def _read(input_files: list[InputFile], advance: Advance) -> dict[str, int | None]:
    counts: dict[str, int | None] = {}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for input_file, rows in zip(input_files, pool.map(rows_of, input_files), strict=True):
            counts[input_file.location] = rows
            advance(1)
    return counts


def rows_of(input_file: InputFile) -> int | None:
    """Rows of a part's Parquet file; None where it cannot be opened."""
    try:
        with opened(input_file) as stream:
            return int(pq.read_metadata(stream).num_rows)
    except (pa.ArrowException, OSError):
        return None
