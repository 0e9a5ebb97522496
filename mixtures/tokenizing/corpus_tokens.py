"""The tokens stage: one corpus to token files with a risk twin; a shard is a rank, here, on Ray or under Slurm.

For each shard of the corpus: `00000.bin/.idx`, `00000.risk.bin/.idx`, the documents table `00000.documents.parquet`
and, written last, `00000.done.json` with hashes and counts. A restart does only the shards that are not done. Nothing
in a shard's files depends on other shards or on the number of processes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from infra.artifacts.artifact import read_artifact
from infra.artifacts.records import JsonObject, to_json
from infra.config.faults import nearest
from infra.errors import DataError, InputError
from infra.jobs.base import Workers
from infra.stages.stage import Workspace
from mixtures.corpora.columns import Corpus, batches, open_corpus
from mixtures.formats import risk
from mixtures.spec.mixture import TokensSpec
from mixtures.tokenizing.cut_spans import cut_spans
from mixtures.tokenizing.encode import Encoded, Encoder
from mixtures.tokenizing.marking import Spans
from mixtures.tokenizing.megatron import import_corpus
from mixtures.tokenizing.shard_files import ShardFiles, TokensCounts, counts_of
from mixtures.tokenizing.token_table import eos_spelled
from mixtures.tokenizing.tokenizer import read_facts

_DOCUMENTS = 1 << 13  # read together, if they are not too long
SMALL = 2_000_000  # characters: below that, starting processes takes longer than tokenising


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


def make(spec: TokensSpec, workspace: Workspace, workers: Workers | None = None) -> JsonObject:
    """Make the tokens of a corpus, or take them from Megatron files; returns the artifact's counts.

    Raises InputError or RanksFailed.
    """
    run = tokenise_corpus if spec.megatron is None else import_corpus
    return to_json(run(spec, workspace, workers))


def tokenise_corpus(spec: TokensSpec, workspace: Workspace, workers: Workers | None = None) -> TokensCounts:
    """Tokenise every shard that is not done yet. Raises InputError or RanksFailed."""
    from infra.jobs.items import alone, for_each, forget_jobs

    assert spec.curation is not None
    corpus = open_corpus(spec.curation, spec.corpus)
    check_risk(corpus, spec.risk)
    tokenizer = read_artifact(spec.tokenizer, "tokenizer").path
    facts = read_facts(tokenizer)
    jobs = [
        ShardJob(
            shard.absolute(), workspace.path / shard.stem, corpus.name, tokenizer, facts.eos_id, spec.risk, spec.cut
        )
        for shard in corpus.shards
    ]
    labels = [f"{corpus.name}/{shard.name}" for shard in corpus.shards]
    if corpus.manifest.characters < SMALL:
        for_each(f"tokenise {corpus.name}", tokenise_shard, jobs, labels, alone(workspace))
    else:
        for_each(f"tokenise {corpus.name}", tokenise_shard, jobs, labels, workspace, workers)
    forget_jobs(workspace)
    counts = counts_of(corpus.name, [job.prefix for job in jobs])
    spelled, documents = eos_spelled(job.prefix for job in jobs)
    if spelled:
        counts = replace(counts, eos_spelled=spelled, eos_spelled_documents=documents)
    if note := spelled_note(corpus.name, counts, facts.eos):
        workspace.note(note)
    return counts


def spelled_note(corpus: str, counts: TokensCounts, eos: str) -> str | None:
    """What to say of a tokens artifact with these counts whose texts spell the EOS."""
    if counts.eos_spelled is None:
        return None
    return (
        f"{corpus}: {counts.eos_spelled_documents or 0:,} documents spell {eos} in their text, {counts.eos_spelled:,} "
        "times; there it is broken into other tokens and ends nothing"
    )


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


def tokenise_shard(job: ShardJob) -> Iterator[int]:
    """Write one shard's files and, last, its completion record; yields the documents of each batch as it is done."""
    with _one_core():
        yield from _tokenise(job)


def _tokenise(job: ShardJob) -> Iterator[int]:
    encoder = _encoder(job.tokenizer / "tokenizer.json", job.eos_id)
    with ShardFiles(job.prefix, job.corpus, encoder.dtype) as files:
        for row, batch in batches(job.shard, ["id", "text", "spans"], _DOCUMENTS):
            batch, spans = _checked(batch, job, row)
            encoded = join(encoder.encode(_texts(batch, job, row), spans), encoder.dtype)
            files.add(batch.column("id").to_pylist(), encoded)
            yield batch.num_rows


@contextmanager
def _one_core() -> Iterator[None]:
    """Keep the tokenizer on one core inside the block: `workers` says how many cores a stage takes."""
    before = os.environ.get("TOKENIZERS_PARALLELISM")
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    try:
        yield
    finally:
        del os.environ["TOKENIZERS_PARALLELISM"]
        os.environ.update({"TOKENIZERS_PARALLELISM": before} if before is not None else {})


@lru_cache(2)
def _encoder(tokenizer_json: Path, eos_id: int) -> Encoder:
    """The encoder of this process: reading a large vocabulary takes longer than encoding a small shard."""
    return Encoder(tokenizer_json, eos_id)


def join(pieces: Iterable[Encoded], dtype: str) -> Encoded:
    """Pieces of a batch as one."""
    pieces = list(pieces)
    if not pieces:
        return Encoded(np.zeros(0, dtype), np.zeros(0, np.uint8), np.zeros(0, np.int32))
    return Encoded(
        np.concatenate([piece.tokens for piece in pieces]),
        np.concatenate([piece.risk for piece in pieces]),
        np.concatenate([piece.lengths for piece in pieces]),
        np.concatenate(
            [np.zeros(len(piece.lengths), np.int32) if piece.spelled is None else piece.spelled for piece in pieces]
        ),
    )


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
            f"{job.shard}:{bad}: the document was never tagged, or its tagger left it unscored (its spans are null), "
            f"and risk: {job.risk} needs the tags; curate the corpus with a tagger, with unscored: remove"
        )
    values = column.flatten()
    counts = pc.list_value_length(column).to_numpy(zero_copy_only=False)
    document = np.repeat(np.arange(batch.num_rows, dtype=np.int64), counts)
    start, end = (values.field(name).to_numpy(zero_copy_only=False).astype(np.int64) for name in ("start", "end"))
    score = values.field("score").to_numpy(zero_copy_only=False).astype(np.float64)
    size = pc.utf8_length(batch.column("text")).to_numpy(zero_copy_only=False)
    bad_spans = (start < 0) | (end > size[document]) | (start >= end) | ~((score >= 0) & (score <= 1))
    if bad_spans.any():
        span = int(np.flatnonzero(bad_spans)[0])
        where = f"[{start[span]}, {end[span]}) with score {score[span]}"
        raise DataError(f"{job.shard}:{row + int(document[span])}: the span {where} does not fit its text")
    attribute = values.field("attribute").cast(pa.string())
    keep = pc.equal(attribute, job.risk).to_numpy(zero_copy_only=False).astype(bool)
    return Spans(document[keep], start[keep], end[keep], risk.encode(score[keep]))
