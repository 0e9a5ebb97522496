"""Lineage: which configuration, inputs and code made an artifact, followed through every input that can be found."""

from __future__ import annotations

from pathlib import Path

from infra.artifacts.artifact import STEPS, STORE, Artifact, is_artifact, read_artifact
from infra.errors import HormesisError
from infra.render.page import Table


def lineage(folder: Path) -> tuple[Table, list[Artifact]]:
    """The artifact and all its ancestors that lie near it, newest first.

    Ancestors are found by fingerprint among the artifacts beside `folder` and in the stores beside it; an input that is
    not there (a raw file, a model from elsewhere) is a row with its digest only.
    """
    known = neighbours(folder)
    rows: list[tuple[object, ...]] = []
    chain: list[Artifact] = []
    queue: list[tuple[str, str]] = [("", read_artifact(folder).fingerprint)]
    known[queue[0][1]] = read_artifact(folder)
    seen: set[str] = set()
    while queue:
        role, fingerprint = queue.pop(0)
        if fingerprint in seen:
            continue
        seen.add(fingerprint)
        artifact = known.get(fingerprint)
        if artifact is None:
            rows.append((role, "raw", "", fingerprint[:12], ""))
            continue
        chain.append(artifact)
        versions = f"hormesis {artifact.hormesis}"
        rows.append((role, artifact.kind, artifact.path.name, fingerprint[:12], f"{artifact.ended}, {versions}"))
        queue += [(f"{artifact.path.name}: {name}", value) for name, value in sorted(artifact.inputs.items())]
    columns = ("as", "kind", "folder", "fingerprint", "made")
    return Table(f"lineage of {folder}", columns, tuple(rows)), chain


def neighbours(folder: Path) -> dict[str, Artifact]:
    """Artifacts by fingerprint among the folder's children, siblings and the stores beside it."""
    root = folder.resolve()
    folders = [root / STEPS, root.parent, root.parent / STORE, root.parent.parent / STORE]
    artifacts: dict[str, Artifact] = {}
    for neighbourhood in folders:
        for path in sorted(neighbourhood.iterdir()) if neighbourhood.is_dir() else []:
            if is_artifact(path):
                try:
                    artifact = read_artifact(path)
                except HormesisError:
                    continue  # a damaged neighbour cannot be anybody's ancestor, and is not what was asked about
                artifacts[artifact.fingerprint] = artifact
    return artifacts
