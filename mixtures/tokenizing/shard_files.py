"""The files of one tokenised shard, written in a stream and whole or not at all."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from curation.corpus.risk_levels import THRESHOLDS
from infra.atomic import atomic_path, write_json
from mixtures.formats.indexed import BinWriter, bin_path, idx_path, risk_prefix, write_idx
from mixtures.tokenizing.encode import Encoded
from mixtures.tokenizing.token_table import RISKY, SCHEMA, documents_path, levels_in, table_of

_ROW_GROUP = 1 << 16  # documents of a row group of the table


class ShardFiles:
    """`PREFIX.bin/.idx`, the risk twin, the documents table and, written last, the completion record."""

    def __init__(self, prefix: Path, corpus: str, dtype: str) -> None:
        self.prefix, self.corpus, self.dtype = prefix, corpus, dtype
        self._open = ExitStack()
        self._lengths: list[NDArray[np.int32]] = []
        self._reached = np.zeros(len(THRESHOLDS), np.int64)
        self._rows: list[pa.Table] = []
        self._documents = 0

    def __enter__(self) -> ShardFiles:
        enter = self._open.enter_context
        self._open.__enter__()
        self._tokens = BinWriter(enter(atomic_path(bin_path(self.prefix))), self.dtype)
        self._risk = BinWriter(enter(atomic_path(bin_path(risk_prefix(self.prefix)))), "uint8")
        self._table = enter(pq.ParquetWriter(enter(atomic_path(documents_path(self.prefix))), SCHEMA))
        return self

    def add(self, ids: list[str], encoded: Encoded) -> None:
        """Append documents."""
        rows = table_of(self.corpus, ids, self._documents, encoded)
        self._tokens.append(encoded.tokens)
        self._risk.append(encoded.risk)
        self._rows.append(rows)
        self._lengths.append(encoded.lengths)
        self._reached += levels_in(rows).sum(axis=0)
        self._documents += len(ids)
        if sum(table.num_rows for table in self._rows) >= _ROW_GROUP:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            self._table.write_table(pa.concat_tables(self._rows).combine_chunks())
            self._rows.clear()

    def __exit__(self, *error: Any) -> None:
        if error[0] is None:
            self._flush()
        hashes = {"tokens_sha256": self._tokens.finish(), "risk_sha256": self._risk.finish()}
        self._open.__exit__(*error)
        if error[0] is None:
            self._finish(hashes)

    def _finish(self, hashes: dict[str, str]) -> None:
        lengths = np.concatenate(self._lengths) if self._lengths else np.zeros(0, np.int32)
        with atomic_path(idx_path(self.prefix)) as path:
            write_idx(path, lengths, self.dtype)
        with atomic_path(idx_path(risk_prefix(self.prefix))) as path:
            write_idx(path, lengths, "uint8", tokens_sha256=hashes["tokens_sha256"])
        reached = self._reached.tolist()
        counts = {"documents": self._documents, "tokens": int(lengths.sum()), "levels": reached,
                  "risky_tokens": reached[THRESHOLDS.index(RISKY)]}  # fmt: skip
        write_json(_done_path(self.prefix), hashes | counts)


def shard_record(prefix: Path) -> dict[str, Any]:
    """Completion record of a tokenised shard: documents, tokens, risky tokens and the hashes of its files."""
    record: dict[str, Any] = json.loads(_done_path(prefix).read_text(encoding="utf-8"))
    return record


def counts_of(corpus: str, prefixes: list[Path]) -> dict[str, Any]:
    """The counts of a tokens artifact: its shards and their sums."""
    records = [shard_record(prefix) for prefix in prefixes]
    sums = {key: sum(record[key] for record in records) for key in ("documents", "tokens", "risky_tokens")}
    levels = np.sum([record["levels"] for record in records], axis=0).tolist()
    return {"corpus": corpus, "shards": [prefix.name for prefix in prefixes], **sums, "levels": levels}


def _done_path(prefix: Path) -> Path:
    return prefix.with_name(prefix.name + ".done.json")
