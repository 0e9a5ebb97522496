"""The stage `duplicates`: the documents of corpora that are like another, in the store. Light to import."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from curation.steps.dedup.minhash import check_language
from curation.steps.options import NearDuplicatesSpec
from infra.artifacts.artifact import fingerprint_of
from infra.artifacts.records import JsonObject
from infra.jobs.base import Workers
from infra.stages.stage import Identity, Workspace
from mixtures.overlap.measure import GROUPS
from mixtures.spec.mixture import MixtureSpec
from mixtures.spec.overlap import DuplicatesSpec
from mixtures.store.inner import inner_stage, make


def find_duplicates(
    spec: MixtureSpec, corpora: Iterable[str], workspace: Workspace, workers: Workers | None = None
) -> Path:
    """The file of groups of like documents, made now where it is not in the store yet. Raises InputError, RanksFailed.

    It depends on the corpora and not on what the mixture takes of them.
    """
    assert spec.overlap is not None
    check_language(spec.overlap)
    near = NearDuplicatesSpec.model_validate(spec.overlap.model_dump())
    duplicates = DuplicatesSpec(curation=spec.curation, corpora=tuple(sorted(corpora)), near=near)
    stage = inner_stage("duplicates", DuplicatesSpec, _identity, partial(_run, workers=workers))
    folder = workspace.store / f"duplicates-{stage.fingerprint(duplicates)[:12]}"
    return make(stage, duplicates, folder, workspace).path / GROUPS


def _identity(spec: DuplicatesSpec) -> Identity:
    return Identity(spec.identity(), {"curation": fingerprint_of(spec.curation, "curation")})


def _run(spec: DuplicatesSpec, workspace: Workspace, workers: Workers | None) -> JsonObject:
    os.environ.setdefault("TQDM_DISABLE", "1")  # datatrove's own bars; read when tqdm is imported, by workers too
    from mixtures.overlap.groups import find_groups

    return find_groups(spec, workspace, workers)
