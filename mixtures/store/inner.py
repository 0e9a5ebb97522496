"""Stages behind a mixture: their artifacts lie in the store, where every dose finds them. Light to import."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from infra.artifacts.artifact import Artifact
from infra.artifacts.inputs import check_input
from infra.artifacts.records import JsonObject
from infra.config.spec import Spec
from infra.render.page import Page, Plan, Table
from infra.stages.stage import Identity, Stage, Workspace, run_stage

S = TypeVar("S", bound=Spec)


def inner_stage(
    kind: str,
    spec: type[S],
    identity: Callable[[S], Identity],
    run: Callable[[S, Workspace], JsonObject],
    version: int = 1,
) -> Stage[S]:
    """A stage that a mixture runs, not a user: its page is its counts."""
    return Stage(kind, version, spec, identity, run, _plan, _show)


def make(stage: Stage[S], spec: S, folder: Path, workspace: Workspace) -> Artifact:
    """Its artifact in `folder`, made if it is not there, with the workers of the mixture; its content is compared."""
    artifact = run_stage(stage, spec, folder, store=workspace.store, workers=workspace.workers, quiet=workspace.quiet,
                         ray=workspace.ray)  # fmt: skip
    check_input(artifact)
    return artifact


def _plan(spec: Spec) -> Plan:
    return Plan("made in the store when a mixture needs it", ())


def _show(artifact: Artifact) -> Page:
    rows = tuple((key, re.sub(r"[\[\]{}']", "", str(value))) for key, value in artifact.counts.items())
    return Page(f"{artifact.kind} {artifact.path.name}", (Table("counts", ("what", "value"), rows),))
