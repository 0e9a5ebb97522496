"""`hormesis export`: an artifact in another tool's format, as one folder that is there whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

from infra.artifact import Artifact
from infra.atomic import TEMPORARY
from infra.errors import InputError
from infra.spec import nearest

Export: TypeAlias = Callable[[Artifact, Path], None]
"""Writes an artifact into an empty folder."""


def export_artifact(artifact: Artifact, formats: Mapping[str, Export], to: str, target: Path) -> Path:
    """Write `artifact` as format `to` into the new folder `target`. Raises InputError: no such format, target taken."""
    if to not in formats:
        allowed = f"there are: {', '.join(formats)}{nearest(to, formats)}" if formats else "there is none"
        raise InputError(f'no export of a {artifact.kind} artifact to "{to}"; {allowed}')
    if target.exists():
        raise InputError(f"{target}: exists already; choose another --out or move it away")
    work = target.with_name(f"{TEMPORARY}{os.getpid()}-{target.name}")
    work.mkdir(parents=True)
    try:
        formats[to](artifact, work)
        os.replace(work, target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return target
