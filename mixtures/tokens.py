"""The tokens stage: one corpus to token files with a risk twin, shard by shard, in as many processes as asked.

For each shard of the corpus: `00000.bin/.idx`, `00000.risk.bin/.idx`, `00000.documents.parquet` (row, id, hash of the
id, tokens, risky tokens, highest risk) and, written last, `00000.done.json` with hashes and counts. A shard whose
`done` is there is whole; a restart does only the others. Nothing in a shard's files depends on the other shards or on
the number of processes.
"""

from __future__ import annotations

import concurrent.futures as futures
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from infra.artifact import read_artifact
from infra.atomic import atomic_path, write_json
from infra.errors import DataError, InputError, JobError
from infra.spec import nearest
from infra.stage import Workspace
from infra.workers import worker_pool
from mixtures import risk
from mixtures.corpus import Corpus, batches, open_corpus
from mixtures.cut import cut_spans
from mixtures.indexed import BinWriter, bin_path, idx_path, risk_prefix, write_idx
from mixtures.select import identities
from mixtures.spec import TokensSpec
from mixtures.tokenise import Encoded, Encoder, Spans
from mixtures.tokenizer import read_facts

SMALL = 2_000_000  # characters: below that, starting processes takes longer than tokenising
RISKY = 0.5  # the threshold of the `risky_tokens` counts in tables; policies choose their own at training time

SCHEMA = pa.schema(
    [
        ("row", pa.int32()),
        ("id", pa.string()),
        ("identity", pa.uint64()),
        ("tokens", pa.int64()),
        ("risky_tokens", pa.int64()),
        ("highest_risk", pa.uint8()),
    ]
)


@dataclass(frozen=True)
class ShardJob:
    """What one process needs to know to tokenise one shard."""

    shard: Path
    prefix: Path
    corpus: str
    tokenizer: Path
    eos_id: int
    risk: str | None
    cut: float | None


def tokenise_corpus(spec: TokensSpec, workspace: Workspace) -> dict[str, Any]:
    """Tokenise every shard that is not done yet. Raises InputError, DataError or JobError."""
    corpus = open_corpus(spec.curation, spec.corpus)
    check_risk(corpus, spec.risk)
    tokenizer = read_artifact(spec.tokenizer, "tokenizer").path
    facts = read_facts(tokenizer)
    jobs = [
        ShardJob(shard, workspace.path / shard.stem, corpus.name, tokenizer, facts.eos_id, spec.risk, spec.cut)
        for shard in corpus.shards
    ]
    waiting = [job for job in jobs if not _is_done(job.prefix)]
    with workspace.progress(f"tokenise {corpus.name}", len(jobs), "shards") as advance:
        advance(len(jobs) - len(waiting))
        workers = workspace.workers if corpus.manifest["characters"] >= SMALL else 1
        for _ in _run(waiting, workers):
            advance(1)
    records = [shard_record(job.prefix) for job in jobs]
    return {
        "corpus": corpus.name,
        "shards": [job.prefix.name for job in jobs],
        "documents": sum(record["documents"] for record in records),
        "tokens": sum(record["tokens"] for record in records),
        "risky_tokens": sum(record["risky_tokens"] for record in records),
    }


def check_risk(corpus: Corpus, attribute: str | None) -> None:
    """Raise InputError when the corpus was not tagged with this attribute, so that nothing is tokenised in vain."""
    if attribute is None:
        return
    if not corpus.tagged:
        raise InputError(
            f"risk: corpus {corpus.name!r} was curated without a tagger, so no token has a {attribute} score; "
            "curate it with one, or leave risk out"
        )
    if attribute not in corpus.attributes:
        known = ", ".join(corpus.attributes)
        hint = nearest(attribute, corpus.attributes)
        raise InputError(f"risk: corpus {corpus.name!r} has no attribute {attribute!r}; it has {known}{hint}")


def tokenise_shard(job: ShardJob) -> None:
    """Write one shard's files and, last, its completion record."""
    encoder = _encoder(job.tokenizer / "tokenizer.json", job.eos_id)
    prefix, twin = job.prefix, risk_prefix(job.prefix)
    lengths: list[np.ndarray[Any, np.dtype[np.int32]]] = []
    with ExitStack() as stack:
        files = [stack.enter_context(atomic_path(path)) for path in (bin_path(prefix), bin_path(twin))]
        tokens, levels = BinWriter(files[0], encoder.dtype), BinWriter(files[1], "uint8")
        table = stack.enter_context(pq.ParquetWriter(stack.enter_context(atomic_path(documents_path(prefix))), SCHEMA))
        risky = 0
        for row, batch in batches(job.shard, ["id", "text", "spans"]):
            batch, spans = _checked(batch, job, row)
            encoded = join(encoder.encode(_texts(batch, job, row), spans), encoder.dtype)
            tokens.append(encoded.tokens)
            levels.append(encoded.risk)
            lengths.append(encoded.lengths)
            rows = _rows(batch, job, row, encoded)
            risky += pc.sum(rows.column("risky_tokens")).as_py() or 0
            table.write_table(rows)
        sha256, risk_sha256 = tokens.finish(), levels.finish()
    sizes = np.concatenate(lengths) if lengths else np.zeros(0, np.int32)
    with atomic_path(idx_path(prefix)) as path:
        write_idx(path, sizes, encoder.dtype)
    with atomic_path(idx_path(twin)) as path:
        write_idx(path, sizes, "uint8", tokens_sha256=sha256)
    record = {"tokens_sha256": sha256, "risk_sha256": risk_sha256, "risky_tokens": risky}
    write_json(_done_path(prefix), record | {"documents": len(sizes), "tokens": int(sizes.sum())})


@lru_cache(2)
def _encoder(tokenizer_json: Path, eos_id: int) -> Encoder:
    """The encoder of this process: reading a large vocabulary takes longer than encoding a small shard."""
    return Encoder(tokenizer_json, eos_id)


def documents_path(prefix: Path) -> Path:
    """The documents table of a tokenised shard."""
    return prefix.with_name(prefix.name + ".documents.parquet")


def join(pieces: Iterable[Encoded], dtype: str) -> Encoded:
    """Pieces of a batch as one."""
    parts = list(pieces)
    if not parts:
        return Encoded(np.zeros(0, dtype), np.zeros(0, np.uint8), np.zeros(0, np.int32))
    return Encoded(
        np.concatenate([part.tokens for part in parts]),
        np.concatenate([part.risk for part in parts]),
        np.concatenate([part.lengths for part in parts]),
    )


def shard_record(prefix: Path) -> dict[str, Any]:
    """Completion record of a tokenised shard: documents, tokens, risky tokens and the hashes of its files."""
    record: dict[str, Any] = json.loads(_done_path(prefix).read_text(encoding="utf-8"))
    return record


def _done_path(prefix: Path) -> Path:
    return prefix.with_name(prefix.name + ".done.json")


def _is_done(prefix: Path) -> bool:
    return _done_path(prefix).is_file()


def _checked(batch: pa.RecordBatch, job: ShardJob, row: int) -> tuple[pa.RecordBatch, Spans | None]:
    """The batch, without its risky spans where they are to be cut out, and its spans of the risk attribute."""
    spans = _spans(batch, job, row)
    if job.risk is None or job.cut is None:
        return batch, spans
    batch = cut_spans(batch, job.risk, job.cut)
    return batch, _spans(batch, job, row)


def _texts(batch: pa.RecordBatch, job: ShardJob, row: int) -> list[str]:
    column = batch.column("text")
    if column.null_count:
        bad = column.is_null().index(True).as_py()
        raise DataError(f"{job.shard}:{row + bad}: the document has no text")
    return column.to_pylist()


def _spans(batch: pa.RecordBatch, job: ShardJob, row: int) -> Spans | None:
    """Spans of the risk attribute in a batch; fails closed on an untagged document or a span outside its text."""
    if job.risk is None:
        return None
    column = batch.column("spans")
    if column.null_count:
        bad = row + column.is_null().index(True).as_py()
        raise DataError(
            f"{job.shard}:{bad}: the document was never tagged (its spans are null), and risk: {job.risk} "
            "needs the tags; curate the corpus with a tagger"
        )
    values = column.flatten()
    counts = pc.list_value_length(column).to_numpy(zero_copy_only=False)
    document = np.repeat(np.arange(batch.num_rows, dtype=np.int64), counts)
    start, end = (values.field(name).to_numpy(zero_copy_only=False).astype(np.int64) for name in ("start", "end"))
    score = values.field("score").to_numpy(zero_copy_only=False).astype(np.float64)
    size = pc.utf8_length(batch.column("text")).to_numpy(zero_copy_only=False)
    bad_spans = (start < 0) | (end > size[document]) | (start >= end) | ~((score >= 0) & (score <= 1))
    if bad_spans.any():
        which = int(np.flatnonzero(bad_spans)[0])
        where = f"[{start[which]}, {end[which]}) with score {score[which]}"
        raise DataError(f"{job.shard}:{row + int(document[which])}: the span {where} does not fit its text")
    attribute = values.field("attribute").cast(pa.string())
    keep = pc.equal(attribute, job.risk).to_numpy(zero_copy_only=False).astype(bool)
    return Spans(document[keep], start[keep], end[keep], risk.encode(score[keep]))


def _rows(batch: pa.RecordBatch, job: ShardJob, row: int, encoded: Encoded) -> pa.Table:
    """The documents table's rows of one batch."""
    ids = batch.column("id").to_pylist()
    starts = np.concatenate([[0], np.cumsum(encoded.lengths[:-1], dtype=np.int64)]).astype(np.int64)
    risky = np.add.reduceat(risk.at_or_above(encoded.risk, RISKY).astype(np.int64), starts)
    highest = np.maximum.reduceat(encoded.risk, starts)
    rows = np.arange(row, row + len(ids), dtype=np.int32)
    columns = [rows, ids, identities(job.corpus, ids), encoded.lengths.astype(np.int64), risky, highest]
    return pa.table([pa.array(values, kind.type) for values, kind in zip(columns, SCHEMA, strict=True)], schema=SCHEMA)


def _run(jobs: list[ShardJob], workers: int) -> Iterator[None]:
    """Tokenise shards in `workers` processes; the first failure stops the rest."""
    if workers <= 1 or len(jobs) <= 1:
        for job in jobs:
            with _OneCore():
                tokenise_shard(job)
            yield
        return
    with worker_pool(min(workers, len(jobs)), _set_up) as pool:
        pending = [pool.submit(tokenise_shard, job) for job in jobs]
        try:
            for finished in futures.as_completed(pending):
                finished.result()
                yield
        except futures.process.BrokenProcessPool:
            raise JobError("a tokenising process was killed (out of memory?); run again to go on") from None


class _OneCore:
    """Keep the tokenizer on one core inside the block: `workers` says how many cores a stage takes."""

    def __enter__(self) -> None:
        self._before = os.environ.get("TOKENIZERS_PARALLELISM")
        os.environ["TOKENIZERS_PARALLELISM"] = "false"

    def __exit__(self, *error: object) -> None:
        if self._before is None:
            del os.environ["TOKENIZERS_PARALLELISM"]
        else:
            os.environ["TOKENIZERS_PARALLELISM"] = self._before


def _set_up() -> None:
    """One core for the tokenizer of a worker."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
