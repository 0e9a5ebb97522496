"""The documents table of a tokenised shard: what selection and plans need to know, a row a document."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from curation.corpus.risk_levels import THRESHOLDS
from mixtures.corpora.select import identities
from mixtures.formats import risk
from mixtures.tokenizing.encode import Encoded

RISKY = 0.5  # the threshold of the `risky_tokens` counts in tables; policies choose their own at training time

SCHEMA = pa.schema(
    [
        ("row", pa.int32()),
        ("id", pa.string()),
        ("identity", pa.uint64()),
        ("tokens", pa.int64()),
        ("risky_tokens", pa.int64()),
        ("highest_risk", pa.uint8()),
        ("levels", pa.list_(pa.int32(), len(THRESHOLDS))),  # tokens that reach each of the thresholds
        ("eos_spelled", pa.int32()),  # how often the text spells the EOS
    ]
)
# How many of the thresholds each risk byte reaches; unscored and structural tokens reach none.
_REACHED = np.searchsorted([risk.threshold_byte(threshold) for threshold in THRESHOLDS], np.arange(256), side="right")
_REACHED[[risk.UNSCORED, risk.STRUCTURAL]] = 0


def documents_path(prefix: Path) -> Path:
    """The documents table of a tokenised shard."""
    return prefix.with_name(prefix.name + ".documents.parquet")


def table_of(corpus: str, ids: list[str], row: int, encoded: Encoded) -> pa.Table:
    """The rows of encoded documents, the first of which is row `row` of its shard."""
    ends = np.cumsum(encoded.lengths, dtype=np.int64)
    highest = np.maximum.reduceat(encoded.risk, ends - encoded.lengths)
    reached = _levels(encoded.risk, ends)
    rows = np.arange(row, row + len(ids), dtype=np.int32)
    columns = [rows, ids, identities(corpus, ids), encoded.lengths.astype(np.int64),
               reached[:, THRESHOLDS.index(RISKY)], highest]  # fmt: skip
    arrays = [pa.array(values, kind.type) for values, kind in zip(columns, SCHEMA, strict=False)]
    levels = pa.FixedSizeListArray.from_arrays(pa.array(reached.ravel(), pa.int32()), len(THRESHOLDS))
    spelled = np.zeros(len(ids), np.int32) if encoded.spelled is None else encoded.spelled
    return pa.table([*arrays, levels, pa.array(spelled, pa.int32())], schema=SCHEMA)


def _levels(risks: risk.Bytes, ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """[documents, thresholds]: how many tokens of each document reach each threshold."""
    reached = _REACHED[risks]
    risky = np.flatnonzero(reached)
    kinds = len(THRESHOLDS) + 1
    cells = np.searchsorted(ends, risky, side="right") * kinds + reached[risky]
    counts = np.bincount(cells, minlength=len(ends) * kinds).reshape(len(ends), kinds)
    return counts[:, :0:-1].cumsum(axis=1)[:, ::-1]


def read_levels(prefix: Path) -> NDArray[np.int64]:
    """[documents, thresholds] of a tokenised shard: how many tokens of each document reach each threshold."""
    return levels_in(pq.read_table(documents_path(prefix), columns=["levels"]))


def levels_in(rows: pa.Table) -> NDArray[np.int64]:
    """The same of a documents table."""
    flat = pc.list_flatten(rows.column("levels")).to_numpy()
    return flat.reshape(-1, len(THRESHOLDS)).astype(np.int64)


def read_eos_spelled(prefix: Path) -> NDArray[np.int32]:
    """How often the text of each document of a tokenised shard spells the EOS."""
    counts: NDArray[np.int32] = pq.read_table(documents_path(prefix), columns=["eos_spelled"]).column(0).to_numpy()
    return counts


def eos_spelled(prefixes: Iterable[Path]) -> tuple[int, int]:
    """How often the texts of tokenised shards spell the EOS, and in how many documents."""
    spelled = documents = 0
    for prefix in prefixes:
        counts = read_eos_spelled(prefix)
        spelled, documents = spelled + int(counts.sum()), documents + int(np.count_nonzero(counts))
    return spelled, documents
