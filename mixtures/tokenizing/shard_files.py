"""The files of one tokenised shard, written in a stream and whole or not at all."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from curation.corpus.risk_levels import THRESHOLDS
from infra.artifacts.artifact import Artifact
from infra.artifacts.records import from_json, read_record, to_json
from infra.atomic import atomic_path, write_json
from mixtures.formats.indexed import BinWriter, bin_path, idx_path, risk_prefix, write_idx
from mixtures.tokenizing.encode import Encoded
from mixtures.tokenizing.token_table import RISKY, SCHEMA, documents_path, levels_in, table_of

_ROW_GROUP = 1 << 16  # documents of a row group of the table


@dataclass(frozen=True, kw_only=True)
class ShardRecord:
    """Completion record of a tokenised shard: counts, and the hashes of its files."""

    documents: int
    tokens: int
    risky_tokens: int
    levels: tuple[int, ...]
    """Tokens that reach each of curation's thresholds."""
    tokens_sha256: str
    risk_sha256: str


@dataclass(frozen=True, kw_only=True)
class TokensCounts:
    """The counts of a tokens artifact: its shards by name, and their sums."""

    corpus: str
    shards: tuple[str, ...]
    documents: int
    tokens: int
    risky_tokens: int
    levels: tuple[int, ...] | None = None
    """Tokens that reach each of curation's thresholds."""
    eos_spelled: int | None = None
    """How often texts spell the EOS, and in how many documents; None: none does."""
    eos_spelled_documents: int | None = None

    @classmethod
    def of(cls, tokens: Artifact) -> TokensCounts:
        """Those of an artifact. Raises ArtifactError."""
        return from_json(cls, json.dumps(tokens.counts), f"{tokens.path}: counts")


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
        tokens_sha256, risk_sha256 = self._tokens.finish(), self._risk.finish()
        self._open.__exit__(*error)
        if error[0] is None:
            self._finish(tokens_sha256, risk_sha256)

    def _finish(self, tokens_sha256: str, risk_sha256: str) -> None:
        lengths = np.concatenate(self._lengths) if self._lengths else np.zeros(0, np.int32)
        with atomic_path(idx_path(self.prefix)) as path:
            write_idx(path, lengths, self.dtype)
        with atomic_path(idx_path(risk_prefix(self.prefix))) as path:
            write_idx(path, lengths, "uint8", tokens_sha256=tokens_sha256)
        reached = tuple(self._reached.tolist())
        record = ShardRecord(
            documents=self._documents,
            tokens=int(lengths.sum()),
            risky_tokens=reached[THRESHOLDS.index(RISKY)],
            levels=reached,
            tokens_sha256=tokens_sha256,
            risk_sha256=risk_sha256,
        )
        write_json(_done_path(self.prefix), to_json(record))


def shard_record(prefix: Path) -> ShardRecord:
    """The completion record of a tokenised shard. Raises ArtifactError."""
    return read_record(ShardRecord, _done_path(prefix))


def counts_of(corpus: str, prefixes: list[Path]) -> TokensCounts:
    """The sums over the shards of a tokens artifact."""
    records = [shard_record(prefix) for prefix in prefixes]
    return TokensCounts(
        corpus=corpus,
        shards=tuple(prefix.name for prefix in prefixes),
        documents=sum(record.documents for record in records),
        tokens=sum(record.tokens for record in records),
        risky_tokens=sum(record.risky_tokens for record in records),
        levels=tuple(np.sum([record.levels for record in records], axis=0).tolist()),
    )


def _done_path(prefix: Path) -> Path:
    return prefix.with_name(prefix.name + ".done.json")
