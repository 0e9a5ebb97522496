"""The results table: one row a (arm, seed, method, strength, evaluation, prompt, sample), and its deterministic
Parquet form.

What a row means depends on its evaluation:

| evaluation | prompt | sample | value | tokens |
|---|---|---|---|---|
| toxicity | index of the prompt | index of the generation | score of the continuation in [0, 1] | tokens generated |
| cross_entropy | index of the held-out document | 0 | nats per predicted token | tokens predicted |
| probes | ordinal of the head (layer-major) | 0 | validation accuracy in [0, 1] | texts in the validation part |

`value` is null exactly where the thing could not be measured, and then `reason` says why: an unscored generation is
never a harmless one.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import polars as pl

SCORE = pl.Struct({"scorer": pl.String, "attribute": pl.String, "score": pl.Float32})

SCHEMA: dict[str, pl.DataType] = {
    "arm": pl.String(),
    "dose": pl.Float64(),
    "policy": pl.String(),
    "mixture": pl.String(),
    "seed": pl.Int64(),
    "method": pl.String(),
    "strength": pl.Float64(),
    "evaluation": pl.String(),
    "prompt": pl.Int64(),
    "sample": pl.Int64(),
    "prompt_id": pl.String(),
    "prompt_text": pl.String(),
    "prompt_scores": pl.List(pl.Struct({"attribute": pl.String, "score": pl.Float32})),
    "generation": pl.String(),
    "value": pl.Float64(),
    "tokens": pl.Int64(),
    "reason": pl.String(),
    "scores": pl.List(SCORE),
    "scorer": pl.String(),
    "sampling_seed": pl.Int64(),
}
"""Column -> type. `scorer` is the scorer's identity: its name and the SHA-256 of its weights."""

KEY = ("dose", "policy", "mixture", "arm", "seed", "method", "strength", "evaluation", "prompt", "sample")
"""The columns that identify a row; tables are kept sorted by them, so that equal results are equal bytes."""

TOXICITY, CROSS_ENTROPY, PROBES = "toxicity", "cross_entropy", "probes"


def frame(rows: Iterable[dict[str, object]]) -> pl.DataFrame:
    """Rows (missing columns are null, unknown ones an assertion) as a sorted table of `SCHEMA`."""
    listed = list(rows)
    unknown = {key for row in listed for key in row} - SCHEMA.keys()
    assert not unknown, f"rows have columns outside the results schema: {sorted(unknown)}"
    return pl.DataFrame(listed, schema=SCHEMA).sort(KEY)


def write(table: pl.DataFrame, path: Path) -> None:
    """Write the table so that equal tables give equal bytes: fixed column order, row order, codec and row groups."""
    ordered = table.select(SCHEMA.keys()).cast(SCHEMA).sort(KEY)  # type: ignore[arg-type]
    ordered.write_parquet(path, compression="zstd", compression_level=3, statistics=True, row_group_size=65_536)


def read(paths: Iterable[Path]) -> pl.DataFrame:
    """The tables of several analyses as one."""
    tables = [pl.read_parquet(path).select(SCHEMA.keys()) for path in paths]
    return (pl.concat(tables) if tables else pl.DataFrame(schema=SCHEMA)).sort(KEY)
