"""Where a mixture's text came from, kept in the mixture itself: a card or a page must not need the curation again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from curation.corpus.tagged import KIND, read_manifest
from infra.artifacts.artifact import read_artifact
from infra.artifacts.records import read_record
from infra.errors import InputError
from mixtures.corpora.columns import Corpus
from mixtures.formats.file_names import PROVENANCE

_SOURCES = 40  # of a corpus, the largest


@dataclass(frozen=True, kw_only=True)
class CurationOrigin:
    """The curation: its name and fingerprint, and a sentence a step; all empty where there was none."""

    name: str = ""
    fingerprint: str = ""
    steps: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class CorpusOrigin:
    """One corpus: its size, the documents that each step removed, and (name, documents, characters) of its largest
    sources, of which there may be more.
    """

    documents: int
    characters: int
    removed: dict[str, int]
    source_count: int
    sources: tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """What was done to the corpora of a mixture, and what they are made of, by name."""

    curation: CurationOrigin
    corpora: dict[str, CorpusOrigin]


def provenance(curation: str | Path | None, corpora: Mapping[str, Corpus]) -> Provenance:
    """By the manifest of the curation; of Megatron files only the size is known."""
    return Provenance(
        curation=CurationOrigin() if curation is None else _curation(curation),
        corpora={name: _corpus(corpus) for name, corpus in corpora.items()},
    )


def read_provenance(mixture: Path) -> Provenance:
    """What `provenance` said when the mixture was built. Raises InputError for a mixture of an earlier hormesis,
    ArtifactError.
    """
    path = mixture / PROVENANCE
    if not path.is_file():
        raise InputError(f"{mixture}: has no {PROVENANCE}, so its sources are not known; build it again")
    return read_record(Provenance, path)


def _curation(curation: str | Path) -> CurationOrigin:
    artifact = read_artifact(curation, KIND)
    steps = tuple(step["describe"] for step in read_manifest(artifact.path).get("steps", ()))
    name = artifact.config.get("name", artifact.path.name)
    return CurationOrigin(name=name, fingerprint=artifact.fingerprint, steps=steps)


def _corpus(corpus: Corpus) -> CorpusOrigin:
    manifest = corpus.manifest
    sources = sorted((manifest.sources or {}).items(), key=lambda item: (-item[1].documents, item[0]))
    return CorpusOrigin(
        documents=manifest.documents,
        characters=manifest.characters,
        removed={step: sum(reasons.values()) for step, reasons in (manifest.removed or {}).items()},
        source_count=len(sources),
        sources=tuple((name, source.documents, source.characters) for name, source in sources[:_SOURCES]),
    )
