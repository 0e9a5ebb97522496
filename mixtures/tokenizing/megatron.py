"""Corpora that are tokenised already: Megatron's `.bin/.idx`, whoever made them, into a tokens artifact.

A run of documents is a shard and a rank. Beside the files that a tokenised shard has, it gets `00000.parquet`, a shard
of a tagged corpus with the documents decoded: what reads texts (hold-outs, `where`, overlap) need not know that
they came as tokens. The tokens themselves stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from tokenizers import Tokenizer

from curation.corpus.tagged import schema
from infra.artifacts.artifact import read_artifact
from infra.artifacts.fingerprint import digest_file
from infra.atomic import atomic_path
from infra.errors import DataError, InputError
from infra.files.digests import digest_of
from infra.jobs.base import Workers
from infra.stages.stage import Workspace
from mixtures.corpora.columns import Corpus, CorpusManifest
from mixtures.formats import risk
from mixtures.formats.file_names import DOCUMENTS, MANIFEST
from mixtures.formats.indexed import Indexed, bin_path, open_pair, token_dtype
from mixtures.spec.megatron import MegatronSpec, digest_megatron
from mixtures.spec.mixture import TokensSpec
from mixtures.tokenizing.encode import Encoded
from mixtures.tokenizing.shard_files import ShardFiles, TokensCounts, counts_of
from mixtures.tokenizing.tokenizer import read_facts

_SHARD = 1 << 26  # tokens of a shard, unless a document is longer
_CHUNK = 1 << 20  # tokens worked on together


@dataclass(frozen=True)
class ImportJob:
    """What one process needs to know to import the documents first <= d < last. Where they carry risk bytes there is a
    `twin`; where not, their tokens are unscored. `cut` are documents that a mixture of hormesis cut short.
    """

    source: Path
    first: int
    last: int
    twin: bool
    prefix: Path
    corpus: str
    tokenizer: Path
    eos_id: int
    vocab_size: int
    cut: tuple[int, ...] = ()


def open_megatron(name: str, spec: MegatronSpec) -> Corpus:
    """The corpus of Megatron files before it is imported: its documents and tokens, without shards. Raises InputError,
    ArtifactError.
    """
    digest_megatron(spec)  # says which file is missing
    index = Indexed(Path(spec.prefix))
    documents, tokens = len(index.lengths), int(index.starts[-1])
    if not tokens:
        raise InputError(f"megatron.{name}: {spec.prefix} holds no token")
    manifest = CorpusManifest(documents=documents, characters=tokens - documents, bytes=tokens, attributes=())
    return Corpus(name, (), manifest, spec.has_twin, tokens)


def check_twin(name: str, spec: MegatronSpec, attribute: str | None) -> None:
    """Raise InputError when tokens are to be scored and the files carry no risk bytes."""
    if attribute is not None and not spec.has_twin and not spec.unscored:
        raise InputError(
            f"risk: {spec.prefix} has no risk twin ({spec.prefix}.risk.bin), so no token of megatron.{name} has a "
            f"{attribute} score; leave risk out, or set megatron.{name}.unscored: true to take them as they are"
        )


def import_corpus(spec: TokensSpec, workspace: Workspace, workers: Workers | None = None) -> TokensCounts:
    """Import every shard that is not there yet. Raises InputError, ArtifactError or RanksFailed."""
    from infra.jobs.items import alone, for_each, forget_jobs

    assert spec.megatron is not None
    check_twin(spec.corpus, spec.megatron, spec.risk)
    jobs = _jobs(spec, spec.megatron, workspace.path)
    labels = [f"{job.source.name}: documents {job.first:,} to {job.last:,}" for job in jobs]
    small = len(jobs) == 1
    for_each(f"import {spec.corpus}", import_shard, jobs, labels, alone(workspace) if small else workspace,
             None if small else workers)  # fmt: skip
    forget_jobs(workspace)
    for job in jobs:
        for document in job.cut:
            workspace.note(f"{bin_path(job.source)}:{document}: was cut short; its last token becomes its EOS")
    return counts_of(spec.corpus, [job.prefix for job in jobs])


def _jobs(spec: TokensSpec, source: MegatronSpec, folder: Path) -> list[ImportJob]:
    """Cut the documents into shards, after checks that concern all of them."""
    tokenizer, prefix = read_artifact(spec.tokenizer, "tokenizer").path, Path(source.prefix)
    facts = read_facts(tokenizer)
    _refuse_other_tokenizer(prefix, tokenizer)
    twin = source.has_twin and spec.risk is not None
    tokens = open_pair(prefix, digest_of(bin_path(prefix)))[0] if twin else Indexed(prefix)
    cut = _cut_documents(prefix)
    jobs = []
    for number, (first, last) in enumerate(_runs(tokens.starts, 0, len(tokens.lengths), _SHARD)):
        cut_in_shard = tuple(document for document in cut if first <= document < last)
        jobs.append(ImportJob(prefix, first, last, twin, folder / f"{number:05d}", spec.corpus, tokenizer,
                              facts.eos_id, facts.vocab_size, cut_in_shard))  # fmt: skip
    return jobs


def _refuse_other_tokenizer(prefix: Path, tokenizer: Path) -> None:
    """A hormesis mixture keeps its tokenizer beside its files: then it must be ours."""
    theirs = prefix.parent / "tokenizer" / "tokenizer.json"
    if theirs.is_file() and digest_file(theirs) != digest_file(tokenizer / "tokenizer.json"):
        raise InputError(
            f"two tokenizers: {prefix} was tokenised with {theirs}, and the mixture's is another one; "
            "name that one as tokenizer.file"
        )


def _cut_documents(prefix: Path) -> list[int]:
    """Documents that a mixture of hormesis, if the files are of one, cut short to take the tokens it was asked for."""
    table = prefix.parent / DOCUMENTS
    if not table.is_file() or not (prefix.parent / MANIFEST).is_file():
        return []
    cut = [("component", "==", prefix.name), ("truncated", "==", True)]
    ordinals: list[int] = pq.read_table(table, columns=["ordinal"], filters=cut).column(0).to_pylist()
    return ordinals


def _runs(starts: NDArray[np.int64], first: int, last: int, tokens: int) -> Iterator[tuple[int, int]]:
    """Ranges of documents with at most `tokens` tokens, or one document."""
    while first < last:
        end = int(np.searchsorted(starts, starts[first] + tokens, side="right")) - 1
        end = min(last, max(first + 1, end))
        yield first, end
        first = end


def import_shard(job: ImportJob) -> Iterator[int]:
    """Write one shard's files; yields documents as they are done. Raises DataError."""
    tokens, levels = _source(job.source, job.twin)
    tokenizer = Tokenizer.from_file(str(job.tokenizer / "tokenizer.json"))
    shard = job.prefix.with_name(job.prefix.name + ".parquet")
    with (
        atomic_path(shard) as path,
        pq.ParquetWriter(path, schema(), compression="zstd") as texts,
        ShardFiles(job.prefix, job.corpus, token_dtype(job.vocab_size)) as files,
    ):
        for first, last in _runs(tokens.starts, job.first, job.last, _CHUNK):
            encoded = _checked(job, *_ended(job, tokens, levels, first, last), tokens, first, last)
            ids = [f"{job.source.name}:{document}" for document in range(first, last)]
            texts.write_table(_texts(job, tokenizer, ids, tokens, first))
            files.add(ids, encoded)
            yield last - first


@lru_cache(2)
def _source(prefix: Path, twin: bool) -> tuple[Indexed, Indexed | None]:
    """The files, kept open from shard to shard: an index of many documents takes a while to read."""
    return Indexed(prefix), Indexed(prefix.with_name(prefix.name + ".risk")) if twin else None


def _ended(
    job: ImportJob, tokens: Indexed, levels: Indexed | None, first: int, last: int
) -> tuple[NDArray[Any], risk.Bytes]:
    """Tokens and risk bytes of the documents first <= d < last. A document that was cut short gives its last token for
    the EOS that it lost, as if it had been cut one token earlier.
    """
    begin, end = int(tokens.starts[first]), int(tokens.starts[last])
    ids = np.array(tokens.tokens[begin:end])
    risks = np.full(len(ids), risk.UNSCORED, np.uint8) if levels is None else np.array(levels.tokens[begin:end])
    cut = [int(tokens.starts[document + 1]) - 1 - begin for document in job.cut if first <= document < last]
    if cut:
        ids[cut], risks[cut] = job.eos_id, risk.UNSCORED if levels is None else risk.LOWEST
    return ids, risks


def _checked(job: ImportJob, ids: NDArray[Any], risks: risk.Bytes, tokens: Indexed, first: int, last: int) -> Encoded:
    """The documents first <= d < last, when each ends with the EOS and no token is unknown."""
    begin = int(tokens.starts[first])
    ends = tokens.starts[first + 1 : last + 1]
    empty = tokens.lengths[first:last] == 0
    if empty.any() or (ids[ends - begin - 1] != job.eos_id).any():
        bad = first + int(np.flatnonzero(empty if empty.any() else ids[ends - begin - 1] != job.eos_id)[0])
        raise DataError(
            f"{bin_path(job.source)}:{bad}: the document does not end with the tokenizer's EOS ({job.eos_id}); make "
            "the files with an EOS after every document (--append-eod, eos_token), or name their tokenizer"
        )
    if (ids < 0).any() or (ids >= job.vocab_size).any():
        position = begin + int(np.flatnonzero((ids < 0) | (ids >= job.vocab_size))[0])
        bad = int(np.searchsorted(tokens.starts, position, side="right")) - 1
        raise DataError(
            f"{bin_path(job.source)}:{bad}: token {int(ids[position - begin])} is not among the tokenizer's "
            f"{job.vocab_size}; the files were made with another tokenizer"
        )
    return Encoded(ids, risks, tokens.lengths[first:last])


def _texts(job: ImportJob, tokenizer: Tokenizer, ids: list[str], tokens: Indexed, first: int) -> pa.Table:
    """The documents as a tagged corpus has them, decoded and without their EOS; nobody tagged them."""
    bounds = tokens.starts[first : first + len(ids) + 1].tolist()
    documents = [tokens.tokens[begin : end - 1].tolist() for begin, end in pairwise(bounds)]
    texts = tokenizer.decode_batch(documents, skip_special_tokens=False)
    count = len(ids)
    columns = {"id": ids, "text": texts, "source": [job.corpus] * count, "metadata": ["{}"] * count,
               "scores": [[]] * count, "spans": [None] * count}  # fmt: skip
    return pa.table(columns, schema=schema())
