"""Reading a tagged corpus column by column: what selection and tokenising need, without a Python object per document.

`curation.corpus.tagged.TaggedCorpus` gives one `Document` at a time; these functions read the same Parquet files
(design.md section 6) as Arrow batches and numpy arrays.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from curation.corpus.risk_levels import SourceRisk
from curation.corpus.tagged import MANIFEST, TaggedCorpus, unknown_corpus
from curation.corpus.where import LANGUAGE, METADATA, SPANS, Where, is_share
from curation.corpus.where_values import column_of, metadata_value
from infra.artifacts.records import from_json
from infra.errors import DataError, InputError

_BATCH = 512  # documents
_BATCH_BYTES = 32 << 20  # of a batch, unless a single document is longer


class ShardPaths(Sequence[Path]):
    """Files of a folder in order; a path is made when it is asked for, as a corpus may have a hundred thousand."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self._folder, self._names = folder, names

    def __len__(self) -> int:
        return len(self._names)

    @overload
    def __getitem__(self, number: int) -> Path: ...
    @overload
    def __getitem__(self, number: slice) -> ShardPaths: ...
    def __getitem__(self, number: int | slice) -> Path | ShardPaths:
        if isinstance(number, slice):
            return ShardPaths(self._folder, self._names[number])
        return self._folder / self._names[number]


@dataclass(frozen=True, kw_only=True)
class CorpusManifest:
    """A corpus's entry in the curation's manifest.json, as far as a mixture needs it. Keys with None came later."""

    documents: int
    characters: int
    bytes: int
    attributes: tuple[str, ...]
    """Scores that its documents have."""
    histogram: dict[str, list[int]] | None = None
    """By attribute: documents in evenly wide bins of the score from 0 to 1."""
    sources: dict[str, SourceRisk] | None = None
    removed: dict[str, dict[str, int]] | None = None
    """Documents by the step that removed them and why."""


@dataclass(frozen=True)
class Corpus:
    """One corpus of a curation artifact: its shards in order and its entry in manifest.json; one of Megatron files has
    no shards before it is imported, and `tokens`.
    """

    name: str
    shards: Sequence[Path]
    manifest: CorpusManifest
    tagged: bool
    tokens: int | None = None

    @property
    def attributes(self) -> tuple[str, ...]:
        """Scores that its documents have."""
        return self.manifest.attributes


def open_corpus(curation: str | Path, name: str) -> Corpus:
    """Open the corpus `name` of the artifact at `curation`. Raises InputError when it is not there or empty."""
    return corpus_in(curation, TaggedCorpus.open_all(curation), name)


def corpus_in(curation: str | Path, corpora: Mapping[str, TaggedCorpus], name: str) -> Corpus:
    """One of the corpora of an artifact. Raises InputError when it is not there or empty."""
    if name not in corpora:
        raise InputError(unknown_corpus(curation, name, corpora))
    corpus = corpora[name]
    entry = f"{Path(curation) / MANIFEST}: corpora.{name}"
    manifest = from_json(CorpusManifest, json.dumps(corpus.manifest), entry, remedy="run the curation again")
    if not manifest.documents:
        raise InputError(f"{curation}: the corpus {name!r} is empty")
    return Corpus(name, ShardPaths(corpus.path, corpus.shards), manifest, corpus.tagged)


def batches(shard: Path, columns: Iterable[str], size: int = _BATCH) -> Iterator[tuple[int, pa.RecordBatch]]:
    """(row of the first document, batch) through a shard, reading only `columns`; long documents come in smaller
    batches. Raises DataError on a damaged file.
    """
    row = 0
    try:
        with pq.ParquetFile(shard) as file:
            for group in range(file.num_row_groups):  # a batch over two would chunk the spans, which Arrow refuses
                rows = min(size, _rows_of(file.metadata.row_group(group)))
                for batch in file.iter_batches(rows, row_groups=[group], columns=list(columns)):
                    yield row, batch
                    row += batch.num_rows
    except (OSError, pa.ArrowInvalid, KeyError) as error:
        raise DataError(f"{shard}: cannot be read as a tagged corpus: {error}") from None


def _rows_of(group: pq.RowGroupMetaData) -> int:
    """Documents of a batch, by the size of those in the row group."""
    return max(1, _BATCH_BYTES * group.num_rows // max(1, group.total_byte_size))


def where_columns(where: Where | None) -> list[str]:
    """Parquet columns that `where` needs."""
    return columns_of(where.names if where else ())


def columns_of(names: Iterable[str]) -> list[str]:
    """Parquet columns that these names, as in a `where`, come from."""
    return sorted({column for column in map(_column_of, names) if column is not None})


def _column_of(name: str) -> str | None:
    if name in ("source", "id"):
        return name
    if name == "characters":
        return "text"
    if name in SPANS:
        return "spans"
    if is_share(name):  # of tokens: in the token files
        return None
    return "metadata" if name.startswith(METADATA) else "scores"


def matches(
    where: Where | None,
    batch: pa.RecordBatch,
    shard: Path,
    row: int,
    known: Mapping[str, NDArray[Any]] | None = None,
) -> NDArray[np.bool_]:
    """Which documents of `batch` (its first is `row` of `shard`) pass `where`; `known` holds columns that are known
    already, as the shares of risky tokens (`mixtures.selection.risky_share`), for the batch's documents.

    Fails closed: a document without a score or metadata key that the expression uses raises DataError.
    """
    if where is None:
        return np.ones(batch.num_rows, dtype=bool)
    known = known or {}
    columns = {name: known[name] if name in known else column(name, batch, shard, row) for name in where.names}
    return where.evaluate(columns, batch.num_rows, lambda index: f"{shard}:{row + index}")


def column(name: str, batch: pa.RecordBatch, shard: Path, row: int) -> NDArray[Any]:
    """The values of one name, as in a `where`, of a batch's documents. Raises DataError where a document has none."""
    if name in ("source", "id"):
        return np.asarray(batch.column(name).to_pylist(), dtype=object)
    if name == "characters":
        return np.asarray(pc.utf8_length(batch.column("text")).to_numpy(zero_copy_only=False), dtype=np.float64)
    if name.startswith(METADATA):
        key, texts = name.removeprefix(METADATA), batch.column("metadata").to_pylist()
        return column_of([_metadata_of(key, text, f"{shard}:{row + offset}") for offset, text in enumerate(texts)])
    if name in SPANS:
        return _spans(name, batch, shard, row)
    return scores(name, batch, shard, row)


def _spans(name: str, batch: pa.RecordBatch, shard: Path, row: int) -> NDArray[np.float64]:
    """Count, highest or lowest score of each document's spans, 0 where a tagged document has none."""
    column = batch.column("spans")
    if column.null_count:
        bad = row + column.is_null().index(True).as_py()
        raise DataError(
            f"{shard}:{bad}: the document was never tagged, or its tagger left it unscored, and `where` asks for {name}"
        )
    counts = pc.list_value_length(column).to_numpy(zero_copy_only=False).astype(np.int64)
    if name == "spans.count":
        return counts.astype(np.float64)
    scores = column.flatten().field("score").to_numpy(zero_copy_only=False).astype(np.float64)
    values = np.zeros(len(counts))
    has_spans = counts > 0
    if has_spans.any():
        reduce = np.maximum if name == "spans.max" else np.minimum
        values[has_spans] = reduce.reduceat(scores, (np.cumsum(counts) - counts)[has_spans])
    return values


def scores(name: str, batch: pa.RecordBatch, shard: Path, row: int) -> NDArray[np.float64]:
    """One attribute of the `scores` maps, a document an item. Raises DataError where a document has none."""
    column = pc.map_lookup(batch.column("scores"), pa.scalar(name), "first")
    values = column.to_numpy(zero_copy_only=False).astype(np.float64)  # null becomes NaN
    bad = np.flatnonzero(~((values >= 0) & (values <= 1)))
    if len(bad):
        reason = "has no score" if np.isnan(values[bad[0]]) else f"has {values[bad[0]]} as its score"
        raise DataError(f"{shard}:{row + int(bad[0])}: the document {reason} for {name!r}, which the mixture asks for")
    return values


def _metadata_of(key: str, text: str | None, location: str) -> Any:
    """One document's value; null is one. Raises DataError where nothing of the kind was kept."""
    metadata = json.loads(text) if text else {}
    try:
        return metadata_value(metadata, key)
    except KeyError:
        hint = "put the step `language` into its curation" if key in LANGUAGE else f"there is: {', '.join(metadata)}"
        raise DataError(f"{location}: the document has no metadata {key!r}, which `where` asks for; {hint}") from None
    except ValueError as error:
        raise DataError(f"{location}: metadata {key!r}, which `where` asks for, {error}") from None
