"""Where a mixture's text came from, kept in the mixture itself: a card or a page must not need the curation again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from curation.corpus.tagged import KIND, read_manifest
from infra.artifacts.artifact import read_artifact
from infra.errors import InputError
from mixtures.corpora.columns import Corpus

PROVENANCE = "provenance.json"

_SOURCES = 40  # of a corpus, the largest


def provenance(curation: str | Path | None, corpora: Mapping[str, Corpus]) -> dict[str, Any]:
    """What was done to the corpora, by the manifest of the curation, and what they are made of; of Megatron files only
    their size is known.
    """
    return {
        "curation": {"name": "", "fingerprint": "", "steps": []} if curation is None else _curation(curation),
        "corpora": {name: _corpus(corpus.manifest) for name, corpus in corpora.items()},
    }


def _curation(curation: str | Path) -> dict[str, Any]:
    artifact = read_artifact(curation, KIND)
    steps = [step["describe"] for step in read_manifest(artifact.path).get("steps", ())]
    name = artifact.config.get("name", artifact.path.name)
    return {"name": name, "fingerprint": artifact.fingerprint, "steps": steps}


def read_provenance(mixture: Path) -> dict[str, Any]:
    """What `provenance` said when the mixture was built. Raises InputError for a mixture of an earlier hormesis."""
    try:
        return dict(json.loads((mixture / PROVENANCE).read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise InputError(f"{mixture}: has no {PROVENANCE}, so its sources are not known; build it again") from None


def _corpus(corpus: dict[str, Any]) -> dict[str, Any]:
    """Documents, what each step removed, and the largest sources."""
    sources = sorted(corpus.get("sources", {}).items(), key=lambda item: (-item[1]["documents"], item[0]))
    return {
        "documents": corpus["documents"],
        "characters": corpus["characters"],
        "removed": {step: sum(reasons.values()) for step, reasons in corpus.get("removed", {}).items()},
        "source_count": len(sources),
        "sources": [[name, each["documents"], each["characters"]] for name, each in sources[:_SOURCES]],
    }
