"""Copying selected documents out of the store into a mixture's files, in bounded memory."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from infra.atomic import atomic_path, write_json
from infra.fingerprint import digest_file
from infra.progress import Advance
from mixtures import long_arrays, risk
from mixtures.catalogue import Component, Replaced, TokenisedCorpus
from mixtures.corpus import batches
from mixtures.indexed import BinWriter, Indexed, bin_path, idx_path, open_pair, risk_prefix, write_idx
from mixtures.prefixes import NONE, Prefixes
from mixtures.select import Documents, Ints, Selection
from mixtures.shard_files import shard_record
from mixtures.spec import used
from mixtures.token_table import RISKY, documents_path

HELD_OUT = "held_out"

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
_NO_PREFIX = np.zeros(0, np.int64)
_CHUNK = 1 << 22  # tokens copied at a time
_DOCUMENTS = 1 << 14  # and most documents
_OPEN_SHARDS = 1024  # memory maps held at a time
_HELD_OUT_COLUMNS = ["id", "text", "source", "scores", "spans"]


def write_component(component: Component, folder: Path, advance: Advance) -> dict[str, Any]:
    """Write one component's training and held-out files and its documents table; returns its record.

    The record's file is written last: where a killed run left it, the component is whole and nothing is done.
    """
    done = done_path(folder, component.name)
    if done.is_file():
        earlier: dict[str, Any] = json.loads(done.read_text(encoding="utf-8"))
        advance(earlier["tokens"] + earlier["held_out"]["tokens"])
        return earlier
    count = len(component.held_out)
    whole = Selection(np.arange(count), np.zeros(count, np.int32), component.held_out.tokens)
    shards, whole_shards = _Shards(component.source), _Shards(component.whole)
    training = _Source(shards, component.training, component.selection, component.prefixes, component.replaced)
    trained, risky = _write_pair(training, folder / component.name, advance)
    held, _ = _write_pair(_Source(whole_shards, component.held_out, whole), folder / HELD_OUT / component.name, advance)
    _write_documents(component, training.sizes, risky, documents_part(folder, component.name))
    record = {
        "name": component.name,
        "corpus": component.spec.corpus,
        "where": component.spec.where,
        "available": component.available,
        "max_epochs": component.spec.max_epochs,
        "distinct_documents": component.distinct_documents,
        **trained,
        "held_out": held,
    }
    record |= used(component.spec, "order", "risky_spans")  # the trainer looks whether it may shuffle
    if component.prefixes is not None:
        record["prefix_tokens"] = component.prefix_tokens
    if component.cooldown:
        tokens = int(training.sizes[-component.cooldown :].sum())
        record["cooldown"] = {"documents": component.cooldown, "tokens": tokens}
    write_json(done, record)
    return record


def done_path(folder: Path, name: str) -> Path:
    """Completion record of a component; a hidden file, gone from the finished artifact."""
    return folder / f".{name}.done.json"


def documents_part(folder: Path, name: str) -> Path:
    """One component's part of documents.parquet; hidden and gone from the finished artifact likewise."""
    return folder / f".{name}.documents.parquet"


def merge_documents(names: list[str], folder: Path, *, prefixes: bool = False) -> None:
    """Write documents.parquet from the components' parts; with `prefix_tokens` where documents may have one."""
    schema = DOCUMENTS_SCHEMA.append(_PREFIX_TOKENS) if prefixes else DOCUMENTS_SCHEMA
    with atomic_path(folder / "documents.parquet") as path, pq.ParquetWriter(path, schema) as writer:
        for name in names:
            with pq.ParquetFile(documents_part(folder, name)) as part:
                for batch in part.iter_batches(columns=schema.names):
                    writer.write_batch(batch)


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
    for number, shard in enumerate(component.source.corpus.shards):
        rows = np.sort(component.held_out.row[component.held_out.shard == number])
        if not len(rows):
            continue
        for first, batch in batches(shard, _HELD_OUT_COLUMNS):
            here = rows[(rows >= first) & (rows < first + batch.num_rows)] - first
            if len(here):
                table = pa.Table.from_batches([batch.take(pa.array(here))])
                yield table.add_column(0, "component", pa.array([component.name] * len(here), pa.string()))


class _Shards:
    """The tokenised shards of a corpus, opened when needed, a bounded number at a time."""

    def __init__(self, source: TokenisedCorpus) -> None:
        self.source = source
        self.open = lru_cache(_OPEN_SHARDS)(self._open)

    def _open(self, number: int) -> tuple[Indexed, Indexed]:
        prefix = self.source.prefix(number)
        return open_pair(prefix, shard_record(prefix)["tokens_sha256"])


@dataclass(frozen=True)
class _Source:
    """What is written: a selection of documents, with prefixes before them or without, some tokens replaced or none."""

    shards: _Shards
    documents: Documents
    selection: Selection
    prefixes: Prefixes | None = None
    replaced: Replaced | None = None

    @property
    def sizes(self) -> Ints:
        """Tokens of each document as it is written, its prefix counted."""
        if self.prefixes is None:
            return self.selection.tokens
        return self.selection.tokens + self.prefixes.sizes

    def prefix(self, index: int) -> Ints:
        """Tokens before the document that is written as number `index`."""
        if self.prefixes is None or self.prefixes.number[index] == NONE:
            return _NO_PREFIX
        return self.prefixes.tokens[self.prefixes.number[index]]


def _write_pair(source: _Source, prefix: Path, advance: Advance) -> tuple[dict[str, Any], Ints]:
    """Copy the selected documents to `prefix` and its risk twin; returns the record and each document's risky tokens.

    Nothing is written where nothing is selected: Megatron cannot map an empty file.
    """
    sizes = source.sizes
    histogram = np.zeros(256, np.int64)
    risky = long_arrays.new(len(sizes), np.int64)
    record: dict[str, Any] = {"tokens": int(sizes.sum()), "documents": len(sizes)}
    if len(sizes):
        twin = risk_prefix(prefix)
        first_shard = int(source.documents.shard[source.selection.position[0]])
        dtype = str(source.shards.open(first_shard)[0].tokens.dtype)
        with atomic_path(bin_path(prefix)) as path, atomic_path(bin_path(twin)) as risk_path:
            tokens, levels = BinWriter(path, dtype), BinWriter(risk_path, "uint8")
            for first, last in _chunks(sizes):
                ids, risks = _gather(source, first, last)
                tokens.append(ids)
                levels.append(risks)
                histogram += np.bincount(risks, minlength=256)
                risky[first:last] = _risky_per_document(risks, sizes[first:last])
                advance(len(ids))
            record |= {"dtype": dtype, "tokens_sha256": tokens.finish(), "risk_sha256": levels.finish()}
        with atomic_path(idx_path(prefix)) as path:
            write_idx(path, sizes, dtype)
        with atomic_path(idx_path(twin)) as path:
            write_idx(path, sizes, "uint8", tokens_sha256=record["tokens_sha256"])
        record["idx_sha256"] = digest_file(idx_path(prefix))
    return record | {"risky_tokens": int(risky.sum()), "risk_histogram": histogram.tolist()}, risky


def _chunks(sizes: Ints) -> Iterator[tuple[int, int]]:
    """Ranges of at most _DOCUMENTS documents that hold about _CHUNK tokens each."""
    first = 0
    while first < len(sizes):
        running = np.cumsum(sizes[first : first + _DOCUMENTS])
        last = first + max(1, int(np.searchsorted(running, _CHUNK, side="right")))
        yield first, last
        first = last


def _gather(source: _Source, first: int, last: int) -> tuple[np.ndarray[Any, Any], risk.Bytes]:
    """Tokens and risk bytes of the selected documents first <= i < last, one after another, each after its prefix."""
    ids, risks = [], []
    positions, sizes = source.selection.position[first:last], source.selection.tokens[first:last].tolist()
    shards, rows = (each[positions].tolist() for each in (source.documents.shard, source.documents.row))
    for index, size, shard, row in zip(range(first, last), sizes, shards, rows, strict=True):
        tokens, levels = source.shards.open(shard)
        start = int(tokens.starts[row])
        if len(before := source.prefix(index)):
            ids.append(before.astype(tokens.tokens.dtype))
            risks.append(np.full(len(before), risk.STRUCTURAL, np.uint8))
        ids.append(tokens.tokens[start : start + size])
        risks.append(levels.tokens[start : start + size])
    return _replace(np.concatenate(ids), np.concatenate(risks), source.replaced)


def _replace(
    ids: np.ndarray[Any, Any], risks: risk.Bytes, how: Replaced | None
) -> tuple[np.ndarray[Any, Any], risk.Bytes]:
    """The same tokens with the risky ones replaced, where that is asked for; what stands for them is no target."""
    if how is None:
        return ids, risks
    risky = risks >= how.level  # those that are structural already stay themselves
    ids[risky & (risks != risk.STRUCTURAL)] = how.token
    risks[risky] = risk.STRUCTURAL
    return ids, risks


def _risky_per_document(risks: risk.Bytes, sizes: Ints) -> Ints:
    starts = np.concatenate([[0], np.cumsum(sizes[:-1])]).astype(np.int64)
    return np.add.reduceat(risk.at_or_above(risks, RISKY).astype(np.int64), starts)


def _write_documents(component: Component, sizes: Ints, risky: Ints, path: Path) -> None:
    """One row a written document: where it came from and where its tokens are, the first of them its prefix's."""
    schema = DOCUMENTS_SCHEMA.append(_PREFIX_TOKENS)
    before = 0
    with atomic_path(path) as temporary, pq.ParquetWriter(temporary, schema) as writer, _ids(component.source) as ids:
        for part in long_arrays.chunks(len(sizes)):
            table = _documents_table(component, part, sizes[part], risky[part], before, ids)
            writer.write_table(table.cast(schema))
            before += int(sizes[part].sum())


def _documents_table(
    component: Component, part: slice, sizes: Ints, risky: Ints, before: int, ids: pa.Table
) -> pa.Table:
    """Rows of the documents `part` of the selection, which are written after `before` tokens."""
    source, selection = component.source, component.selection
    documents = component.training.take(selection.position[part])
    taken, count = selection.tokens[part], len(documents)
    shards = pa.array([shard.name for shard in source.corpus.shards], pa.string())
    columns: dict[str, Any] = {
        "component": pa.repeat(component.name, count),
        "ordinal": np.arange(part.start, part.stop),
        "epoch": selection.epoch[part],
        "corpus": pa.repeat(source.corpus.name, count),
        "shard": shards.take(pa.array(documents.shard)),
        "row": documents.row,
        "id": _document_ids(ids, documents),
        "first_token": before + np.cumsum(sizes) - sizes,
        "tokens": sizes,
        "risky_tokens": risky,
        "truncated": taken < documents.tokens,
        "prefix_tokens": sizes - taken,
    }
    return pa.table({name: each if isinstance(each, pa.Array) else np.asarray(each) for name, each in columns.items()})


@contextmanager
def _ids(source: TokenisedCorpus) -> Iterator[pa.Table]:
    """The ids of a corpus as a table of one column, a chunk a shard, mapped from a file that goes with the block."""
    schema = pa.schema([("id", pa.string())])
    with tempfile.NamedTemporaryFile(dir=long_arrays.folder()) as file:
        with pa.ipc.new_file(file.name, schema) as writer:
            for number in range(len(source.corpus.shards)):
                ids = pq.read_table(documents_path(source.prefix(number)), columns=["id"]).column("id")
                writer.write_batch(pa.record_batch([ids.combine_chunks()], schema=schema))
        with pa.memory_map(file.name) as mapped, pa.ipc.open_file(mapped) as reader:
            yield reader.read_all()


def _document_ids(ids: pa.Table, documents: Documents) -> pa.Array:
    """Ids of the documents, in their order."""
    grouped = np.argsort(documents.shard, kind="stable")
    numbers, starts = np.unique(documents.shard[grouped], return_index=True)
    found = [
        ids.column("id").chunk(int(number)).take(pa.array(np.asarray(documents.row[here])))
        for number, here in zip(numbers, np.split(grouped, starts[1:]), strict=True)
    ]
    back = np.empty(len(grouped), np.int64)
    back[grouped] = np.arange(len(grouped))
    return pa.concat_arrays(found).take(pa.array(back)) if found else pa.array([], pa.string())
