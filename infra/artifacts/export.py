"""`hormesis export`: an artifact in another tool's format, as one folder that is there whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from infra.artifacts.artifact import Artifact
from infra.atomic import folder_beside, numbered, rename_to_first
from infra.config.faults import nearest
from infra.config.spec import Spec, from_settings
from infra.errors import InputError

Write: TypeAlias = Callable[[Artifact, Path], None]
"""Writes an artifact into an empty folder."""


@dataclass(frozen=True)
class ExportWith:
    """An export that can be told more, with `--set key=value`: `write` gets those keys as its third argument."""

    options: type[Spec]
    write: Callable[[Artifact, Path, Any], None]


Export: TypeAlias = Write | ExportWith


def export_artifact(
    artifact: Artifact, formats: Mapping[str, Export], to: str, target: Path, settings: Sequence[str] = ()
) -> Path:
    """Write `artifact` as format `to` into the new folder `target`; `settings` are `key=value`.

    Returns where it is: beside `target` if another command was there first.
    Raises InputError (no such format, target taken) or ConfigError (settings that the format does not have).
    """
    if to not in formats:
        allowed = f"there are: {', '.join(formats)}{nearest(to, formats)}" if formats else "there is none"
        raise InputError(f'no export of a {artifact.kind} artifact to "{to}"; {allowed}')
    write = _writer(formats[to], to, settings)
    if target.exists():
        raise InputError(f"{target}: exists already; choose another --out or move it away")
    with folder_beside(target) as work:
        write(artifact, work)
        folder = rename_to_first(work, numbered(target))
    assert folder is not None
    return folder


def _writer(export: Export, to: str, settings: Sequence[str]) -> Write:
    if isinstance(export, ExportWith):
        options = from_settings(export.options, settings)
        return lambda artifact, folder: export.write(artifact, folder, options)
    if settings:
        raise InputError(f"--set {settings[0]}: the export to {to} has nothing to set")
    return export
