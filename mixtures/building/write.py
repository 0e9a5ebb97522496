"""What a mixture's folder holds besides token files: records, indexes, the documents table and held-out texts."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
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
from mixtures.formats.indexed import idx_path, risk_prefix, write_idx
from mixtures.selection.document_ids import Ids
from mixtures.selection.resolve import Component
from mixtures.spec.mixture import used
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


def finish_component(component: Component, training: Stream, held_out: Stream) -> dict[str, Any]:
    """Give a component's token files, all written and hashed, their names and indexes; returns its record."""
    record = {
        "name": component.name,
        "corpus": component.spec.corpus,
        "where": component.spec.where,
        "available": component.available,
        "max_epochs": component.spec.max_epochs,
        "distinct_documents": component.distinct_documents,
        **_finish(training),
        "eos_spelled": eos_spelled_in(component),
        "held_out": _finish(held_out),
    }
    record |= used(component.spec, "order", "risky_spans")  # the trainer looks whether it may shuffle
    if component.prefixes is not None:
        record["prefix_tokens"] = component.prefix_tokens
    if component.cooldown:
        tokens = training.tokens - training.before(len(training) - component.cooldown)
        record["cooldown"] = {"documents": component.cooldown, "tokens": tokens}
    return record


def eos_spelled_in(component: Component) -> dict[str, int]:
    """How many of its documents, repetitions not counted, spell the EOS in their text, and how often; there it is
    broken into other tokens.
    """
    found = {"documents": 0, "times": 0}
    source, selection = component.source, component.selection
    if not read_artifact(source.tokens, "tokens").counts.get("eos_spelled"):
        return found
    table = [read_eos_spelled(source.prefix(shard)) for shard in range(len(source.corpus.shards))]
    for chunk in long_arrays.chunks(len(selection.position)):
        position = np.asarray(selection.position[chunk])[np.asarray(selection.epoch[chunk]) == 0]
        chosen = component.training.take(position)
        for shard in np.unique(chosen.shard).tolist():
            times = table[shard][np.asarray(chosen.row)[np.asarray(chosen.shard) == shard]]
            found["documents"] += int(np.count_nonzero(times))
            found["times"] += int(times.sum())
    return found


def _finish(stream: Stream) -> dict[str, Any]:
    """Indexes and names of a pair of files; none where nothing is selected, as Megatron cannot map an empty file."""
    risky = sum(int(risky_tokens(stream)[chunk].sum()) for chunk in long_arrays.chunks(len(stream)))
    counts = {"tokens": stream.tokens, "documents": len(stream), "risky_tokens": risky,
              "risk_histogram": risk_histogram(stream).tolist()}  # fmt: skip
    if not len(stream):
        return counts
    tokens_sha256, risk_sha256 = hashes(stream)
    rename(stream)
    with atomic_path(idx_path(stream.prefix)) as path:
        write_idx(path, stream.all_sizes, stream.dtype)
    with atomic_path(idx_path(risk_prefix(stream.prefix))) as path:
        write_idx(path, stream.all_sizes, "uint8", tokens_sha256=tokens_sha256)
    return counts | {"dtype": stream.dtype, "tokens_sha256": tokens_sha256, "risk_sha256": risk_sha256,
                     "idx_sha256": digest_file(idx_path(stream.prefix))}  # fmt: skip


def write_documents(components: list[tuple[Component, Stream]], folder: Path, *, prefixes: bool = False) -> None:
    """Write documents.parquet, a row a written document; with `prefix_tokens` where documents may have one."""
    schema = DOCUMENTS_SCHEMA.append(_PREFIX_TOKENS) if prefixes else DOCUMENTS_SCHEMA
    ids: dict[Path, Ids] = {}
    with atomic_path(folder / "documents.parquet") as path, pq.ParquetWriter(path, schema) as writer:
        for component, stream in components:
            source = component.source
            if len(stream) and source.tokens not in ids:
                ids[source.tokens] = Ids(source)
            for first in range(0, len(stream), _ROW_GROUP):
                here = slice(first, min(first + _ROW_GROUP, len(stream)))
                writer.write_table(_documents_table(component, stream, here, ids[source.tokens], schema))


def _documents_table(component: Component, stream: Stream, here: slice, ids: Ids, schema: pa.Schema) -> pa.Table:
    """Rows of a range of the documents of a stream: where each comes from, and where its tokens are, the first of them
    its prefix's.
    """
    source, selection = component.source, component.selection
    documents = component.training.take(np.asarray(selection.position[here]))
    taken, sizes, count = np.asarray(selection.tokens[here]), stream.sizes(here), len(documents)
    shards = pa.array([shard.name for shard in source.corpus.shards], pa.string())
    columns: dict[str, Any] = {
        "component": pa.repeat(component.name, count),
        "ordinal": np.arange(here.start, here.stop),
        "epoch": selection.epoch[here],
        "corpus": pa.repeat(source.corpus.name, count),
        "shard": shards.take(pa.array(documents.shard)),
        "row": documents.row,
        "id": ids.take(stream.located.positions(documents.shard, documents.row)),
        "first_token": stream.ends[here] - sizes,
        "tokens": sizes,
        "risky_tokens": risky_tokens(stream)[here],
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
            here = rows[(rows >= first) & (rows < first + batch.num_rows)] - first
            if len(here):
                table = pa.Table.from_batches([batch.take(pa.array(here))])
                yield table.add_column(0, "component", pa.array([component.name] * len(here), pa.string()))
