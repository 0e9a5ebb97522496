"""What a mixture's folder holds besides token files: records, indexes, the documents table and held-out texts."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from infra.artifacts.artifact import read_artifact
from infra.artifacts.fingerprint import digest_file
from infra.atomic import atomic_path
from mixtures.building.pieces import hashes, rename, risk_histogram, risky_tokens
from mixtures.building.streams import Stream
from mixtures.corpora.columns import batches
from mixtures.formats import long_arrays
from mixtures.formats.file_names import DOCUMENTS
from mixtures.formats.indexed import idx_path, risk_prefix, write_idx
from mixtures.reading.manifest import ComponentRecord, CooldownRecord, EosSpelled, TokenFilesRecord
from mixtures.selection.document_ids import Ids
from mixtures.selection.resolve import Component
from mixtures.tokenizing.shard_files import TokensCounts
from mixtures.tokenizing.token_table import read_eos_spelled

DOCUMENTS_SCHEMA = pa.schema(
    [
        ("component", pa.string()),
        ("ordinal", pa.int64()),
        ("epoch", pa.int32()),
        ("corpus", pa.string()),
        ("shard", pa.string()),
        ("row", pa.int32()),
        ("id", pa.string()),
        ("first_token", pa.int64()),
        ("tokens", pa.int64()),
        ("risky_tokens", pa.int64()),
        ("truncated", pa.bool_()),
    ]
)

_PREFIX_TOKENS = pa.field("prefix_tokens", pa.int32())
_ROW_GROUP = 1 << 16  # documents
_HELD_OUT_COLUMNS = ["id", "text", "source", "scores", "spans"]


def finish_component(component: Component, training: Stream, held_out: Stream) -> ComponentRecord:
    """Give a component's token files, all written and hashed, their names and indexes; returns its record."""
    spec, cooldown = component.spec, None
    if component.cooldown:
        tokens = training.tokens - training.before(len(training) - component.cooldown)
        cooldown = CooldownRecord(documents=component.cooldown, tokens=tokens)
    return ComponentRecord(
        **vars(_finish(training)),
        name=component.name,
        corpus=spec.corpus,
        where=spec.where,
        available=component.available,
        max_epochs=spec.max_epochs,
        held_out=_finish(held_out),
        distinct_documents=component.distinct_documents,
        eos_spelled=eos_spelled_in(component),
        order=None if spec.order == "shuffled" else spec.order,
        risky_spans=spec.risky_spans,
        prefix_tokens=None if component.prefixes is None else component.prefix_tokens,
        cooldown=cooldown,
    )


def eos_spelled_in(component: Component) -> EosSpelled:
    """How many of its documents, repetitions not counted, spell the EOS in their text, and how often."""
    documents = times = 0
    source, selection = component.source, component.selection
    if TokensCounts.of(read_artifact(source.tokens, "tokens")).eos_spelled is None:
        return EosSpelled(documents=0, times=0)
    table = [read_eos_spelled(source.prefix(shard)) for shard in range(len(source.corpus.shards))]
    for chunk in long_arrays.chunks(len(selection.position)):
        position = np.asarray(selection.position[chunk])[np.asarray(selection.epoch[chunk]) == 0]
        chosen = component.training.take(position)
        for shard in np.unique(chosen.shard).tolist():
            spelled = table[shard][np.asarray(chosen.row)[np.asarray(chosen.shard) == shard]]
            documents += int(np.count_nonzero(spelled))
            times += int(spelled.sum())
    return EosSpelled(documents=documents, times=times)


def _finish(stream: Stream) -> TokenFilesRecord:
    """Indexes and names of a pair of files; none where nothing is selected, as Megatron cannot map an empty file."""
    risky = sum(int(risky_tokens(stream)[chunk].sum()) for chunk in long_arrays.chunks(len(stream)))
    record = TokenFilesRecord(
        tokens=stream.tokens,
        documents=len(stream),
        risky_tokens=risky,
        risk_histogram=tuple(risk_histogram(stream).tolist()),
    )
    if not len(stream):
        return record
    tokens_sha256, risk_sha256 = hashes(stream)
    rename(stream)
    with atomic_path(idx_path(stream.prefix)) as path:
        write_idx(path, stream.all_sizes, stream.dtype)
    with atomic_path(idx_path(risk_prefix(stream.prefix))) as path:
        write_idx(path, stream.all_sizes, "uint8", tokens_sha256=tokens_sha256)
    idx_sha256 = digest_file(idx_path(stream.prefix))
    return replace(
        record, dtype=stream.dtype, tokens_sha256=tokens_sha256, risk_sha256=risk_sha256, idx_sha256=idx_sha256
    )


def write_documents(components: list[tuple[Component, Stream]], folder: Path, *, prefixes: bool = False) -> None:
    """Write documents.parquet, a row a written document; with `prefix_tokens` where documents may have one."""
    schema = DOCUMENTS_SCHEMA.append(_PREFIX_TOKENS) if prefixes else DOCUMENTS_SCHEMA
    ids: dict[Path, Ids] = {}
    with atomic_path(folder / DOCUMENTS) as path, pq.ParquetWriter(path, schema) as writer:
        for component, stream in components:
            source = component.source
            if len(stream) and source.tokens not in ids:
                ids[source.tokens] = Ids(source)
            for first in range(0, len(stream), _ROW_GROUP):
                rows = slice(first, min(first + _ROW_GROUP, len(stream)))
                writer.write_table(_documents_table(component, stream, rows, ids[source.tokens], schema))


def _documents_table(component: Component, stream: Stream, rows: slice, ids: Ids, schema: pa.Schema) -> pa.Table:
    """Rows of a range of the documents of a stream: where each comes from, and where its tokens are, the first of them
    its prefix's.
    """
    source, selection = component.source, component.selection
    documents = component.training.take(np.asarray(selection.position[rows]))
    taken, sizes, count = np.asarray(selection.tokens[rows]), stream.sizes(rows), len(documents)
    shards = pa.array([shard.name for shard in source.corpus.shards], pa.string())
    columns: dict[str, Any] = {
        "component": pa.repeat(component.name, count),
        "ordinal": np.arange(rows.start, rows.stop),
        "epoch": selection.epoch[rows],
        "corpus": pa.repeat(source.corpus.name, count),
        "shard": shards.take(pa.array(documents.shard)),
        "row": documents.row,
        "id": ids.take(stream.located.positions(documents.shard, documents.row)),
        "first_token": stream.ends[rows] - sizes,
        "tokens": sizes,
        "risky_tokens": risky_tokens(stream)[rows],
        "truncated": taken < documents.tokens,
        "prefix_tokens": sizes - taken,
    }
    arrays = [columns[name] if isinstance(columns[name], pa.Array) else pa.array(np.asarray(columns[name]))
              for name in schema.names]  # fmt: skip
    return pa.table(arrays, schema.names).cast(schema)


def write_held_out_texts(components: list[Component], path: Path) -> None:
    """Write held_out.parquet: component, id, text, source, scores and spans of every held-out document."""
    writer: pq.ParquetWriter | None = None
    with atomic_path(path) as temporary:
        try:
            for component in components:
                for table in _held_out_tables(component):
                    writer = writer or pq.ParquetWriter(temporary, table.schema)
                    writer.write_table(table.cast(writer.schema))
            if writer is None:  # nothing is held out: an empty table keeps readers simple
                names = ["component", *_HELD_OUT_COLUMNS[:3]]
                pq.write_table(pa.table({name: pa.array([], pa.string()) for name in names}), temporary)
        finally:
            if writer is not None:
                writer.close()


def _held_out_tables(component: Component) -> Iterator[pa.Table]:
    """Held-out documents in corpus order."""
    order = np.lexsort((component.held_out.row, component.held_out.shard))
    shards, all_rows = component.held_out.shard[order], component.held_out.row[order]
    bounds = np.concatenate([[0], np.flatnonzero(np.diff(shards)) + 1, [len(shards)]]).tolist()
    for begin, end in itertools.pairwise(bounds if len(shards) else []):
        rows = all_rows[begin:end]
        for first, batch in batches(component.source.corpus.shards[int(shards[begin])], _HELD_OUT_COLUMNS):
            in_batch = rows[(rows >= first) & (rows < first + batch.num_rows)] - first
            if len(in_batch):
                table = pa.Table.from_batches([batch.take(pa.array(in_batch))])
                yield table.add_column(0, "component", pa.array([component.name] * len(in_batch), pa.string()))
