"""The share of a document's tokens that are risky, as `where` asks for it: `risky_share`, `risky_share(0.9)`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curation.corpus.where import Where
from mixtures.formats import risk
from mixtures.formats.indexed import Indexed, risk_prefix

Shares = dict[str, NDArray[np.float64]]
_CHUNK = 1 << 24  # risk bytes looked at together


def risky_shares(where: Where, prefix: Path) -> Shares:
    """For each share that `where` asks for, that of every document of a tokenised shard (its EOS counts as a token)."""
    if not where.shares:
        return {}
    levels = Indexed(risk_prefix(prefix))
    return {name: _share(levels, threshold) for name, threshold in where.shares.items()}


def guessed_shares(where: Where, batch: pa.RecordBatch, attribute: str | None) -> Shares:
    """The same before anything is tokenised: the share of a document's characters that lie in such spans."""
    return {name: _characters(batch, attribute, threshold) for name, threshold in where.shares.items()}


def _share(levels: Indexed, threshold: float) -> NDArray[np.float64]:
    risky = np.zeros(len(levels.lengths), np.int64)
    first = 0
    while first < len(risky):
        last = max(first + 1, int(np.searchsorted(levels.starts, levels.starts[first] + _CHUNK, side="right")) - 1)
        flags = risk.at_or_above(levels.tokens[levels.starts[first] : levels.starts[last]], threshold)
        starts = levels.starts[first:last] - levels.starts[first]
        risky[first:last] = np.add.reduceat(flags, starts, dtype=np.int64)
        first = last
    return risky / levels.lengths


def _characters(batch: pa.RecordBatch, attribute: str | None, threshold: float) -> NDArray[np.float64]:
    sizes = pc.utf8_length(batch.column("text")).to_numpy(zero_copy_only=False).astype(np.float64)
    shares = []
    for spans, size in zip(batch.column("spans").to_pylist(), sizes, strict=True):
        shares.append(_covered(spans or [], attribute, threshold) / max(1.0, size))
    return np.asarray(shares, np.float64)


def _covered(spans: list[dict[str, Any]], attribute: str | None, threshold: float) -> int:
    """Characters that lie in at least one span of the attribute at or above the threshold."""
    covered = reached = 0
    for span in sorted(spans, key=lambda span: (span["start"], span["end"])):
        if span["attribute"] == attribute and span["score"] >= threshold:
            covered += max(0, span["end"] - max(span["start"], reached))
            reached = max(reached, span["end"])
    return covered
