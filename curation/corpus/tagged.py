"""The tagged corpus on disk: its Parquet schema, and the reader that other floors use."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curation.corpus.documents import marks_of, metadata_of
from curation.corpus.records import Document, Span
from infra.artifacts.artifact import read_artifact
from infra.config.faults import nearest
from infra.errors import ArtifactError, InputError

if TYPE_CHECKING:
    import pyarrow as pa

KIND = "curation"
MANIFEST = "manifest.json"


def schema() -> pa.Schema:
    """A row a document. `metadata` is JSON; offsets are Unicode code points; `spans` is null where nothing was
    tagged.
    """
    import pyarrow as pa

    span = pa.struct({
        "start": pa.int32(), "end": pa.int32(),
        "attribute": pa.dictionary(pa.int32(), pa.string()), "score": pa.float32(),
    })  # fmt: skip
    return pa.schema({
        "id": pa.string(), "text": pa.string(), "source": pa.string(), "metadata": pa.string(),
        "scores": pa.map_(pa.string(), pa.float32()), "spans": pa.list_(span),
    })  # fmt: skip


def removed_schema() -> pa.Schema:
    """A row a removed document: as in the corpus, then the step that removed it and why."""
    import pyarrow as pa

    return schema().append(pa.field("step", pa.string())).append(pa.field("reason", pa.string()))


@dataclass(frozen=True)
class TaggedCorpus:
    """One corpus of a curation artifact. `manifest` holds its counts, attributes, tagger floor and histograms."""

    path: Path
    name: str
    fingerprint: str
    manifest: dict[str, Any]

    @classmethod
    def open(cls, artifact: str | Path, name: str) -> TaggedCorpus:
        """Open corpus `name` of an artifact. Raises InputError (no artifact, no such corpus) or ArtifactError
        (damaged).
        """
        corpora = cls.open_all(artifact)
        if name not in corpora:
            raise InputError(unknown_corpus(artifact, name, corpora))
        return corpora[name]

    @classmethod
    def open_all(cls, artifact: str | Path) -> dict[str, TaggedCorpus]:
        """Every corpus of an artifact, whose manifest is read once. Raises InputError or ArtifactError."""
        curation = read_artifact(artifact, KIND)
        corpora = read_manifest(curation.path)["corpora"]
        return {name: cls(curation.path / "corpora" / name, name, curation.fingerprint, manifest)
                for name, manifest in corpora.items()}  # fmt: skip

    @property
    def attributes(self) -> tuple[str, ...]:
        """Names of the scores that every document has."""
        return tuple(self.manifest["attributes"])

    @property
    def tagged(self) -> bool:
        """Whether documents have spans."""
        return self.manifest["tagger"] is not None

    @property
    def shards(self) -> tuple[str, ...]:
        """Names of the Parquet files, in order."""
        return tuple(file["name"] for file in self.manifest["files"])

    def documents(self) -> Iterator[Document]:
        """Every document, in the corpus's order."""
        for shard in self.shards:
            yield from self.documents_of(shard)

    def documents_of(self, shard: str) -> Iterator[Document]:
        """Documents of one shard. Raises ArtifactError when it cannot be read."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        row = 0
        try:
            with pq.ParquetFile(self.path / shard) as file:
                for batch in file.iter_batches(batch_size=1000):
                    for record in batch.to_pylist():
                        yield _document(record, shard, row)
                        row += 1
        except (pa.ArrowInvalid, OSError) as error:
            raise ArtifactError(f"{self.path / shard}: cannot be read: {error}; run the curation again") from None


def unknown_corpus(artifact: str | Path, name: str, corpora: Iterable[str]) -> str:
    """What a user is told who asks for a corpus that an artifact does not have."""
    known = list(corpora)
    return f'{artifact}: has no corpus "{name}"; there are: {", ".join(known)}{nearest(name, known)}'


def read_manifest(artifact: Path) -> dict[str, Any]:
    """The `manifest.json` of a curation artifact."""
    return dict(json.loads((artifact / MANIFEST).read_text(encoding="utf-8")))


def as_row(document: Any) -> dict[str, Any]:
    """A row of the Parquet file from a datatrove document."""
    marks = marks_of(document)
    return {
        "id": document.id, "text": document.text, "source": marks.source,
        "metadata": json.dumps(metadata_of(document), ensure_ascii=False, sort_keys=True),
        "scores": list(marks.scores.items()),
        "spans": None if marks.spans is None else [vars(span) for span in marks.spans],
    }  # fmt: skip


def _document(record: dict[str, Any], shard: str, row: int) -> Document:
    spans = None if record["spans"] is None else [Span(**span) for span in record["spans"]]
    metadata = json.loads(record["metadata"])
    return Document(record["id"], record["text"], record["source"], metadata, dict(record["scores"]), spans, shard, row)
