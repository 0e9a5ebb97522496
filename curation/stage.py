"""The stage `curation`: corpora in, one artifact of tagged corpora out."""

from __future__ import annotations

import errno
import os
from itertools import chain
from pathlib import Path
from typing import Any

from curation.corpus.tagged import KIND
from curation.sources.input_files import content_of, files_of, input_files_of, stored_bytes
from curation.sources.spec import ForumSpec
from curation.spec import CurationSpec
from curation.steps import make_step
from infra.artifacts.artifact import Artifact
from infra.artifacts.fingerprint import digest
from infra.errors import JobError
from infra.garbage import collected_later
from infra.render.page import Page, Plan, Table
from infra.stages.stage import Identity, Stage, Workspace


@collected_later()
def identity(spec: CurationSpec) -> Identity:
    """What makes a curation what it is: contents of the sources, checksums of weights, settings; no paths, and not what
    is put up with of bad input: that decides whether there is a result. What else it could be is in the manifest.
    """
    from curation.pipeline.placement import placed
    from curation.pipeline.split import files_of_a_shard

    steps = [make_step(step_spec) for step_spec in placed(spec).steps]
    config = spec.identity() | {"steps": [step.identity() for step in steps]}
    files = {name: [files_of(source, number) for number, source in enumerate(corpus.sources)]
             for name, corpus in spec.corpora.items()}  # fmt: skip
    if any(files_of_a_shard(chain.from_iterable(listed), spec.shard_documents) > 1 for listed in files.values()):
        config["small_files"] = "merged"  # another layout than that of versions which gave each a shard
    inputs = {f"corpora.{name}": digest(list(map(content_of, corpus.sources, files[name])))
              for name, corpus in spec.corpora.items()}  # fmt: skip
    used = {f"steps[{number}].{name}": value for number, step in enumerate(steps)
            for name, value in step.inputs().items()}  # fmt: skip
    return Identity(config, inputs | used)


def run(spec: CurationSpec, workspace: Workspace) -> dict[str, Any]:
    """All steps in order. Raises InputError, UnavailableError, DataError, RanksFailed."""
    os.environ.setdefault("TQDM_DISABLE", "1")  # datatrove's own bars; read when tqdm is imported, by workers too
    from curation.pipeline.finish import finish
    from curation.pipeline.passes import Curation
    from curation.pipeline.placement import placed, settled
    from infra.jobs.execute import opened

    work = workspace.path / "work"
    spec = placed(spec)
    try:
        Curation(spec, work).check()
        with opened(workspace, spec.execution) as workers:
            curation = Curation(settled(spec, workspace, workers), work)
            curation.run(workspace, workers)
        return finish(curation, workspace)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise JobError(f"{error.strerror}: {workspace.path}; make room and run the same command again") from None


def plan(spec: CurationSpec) -> Plan:
    """Files and bytes of every source, without reading any."""
    from curation.pipeline.split import left_out

    rows = []
    for name, corpus in spec.corpora.items():
        for number, source in enumerate(corpus.sources):
            input_files = input_files_of(source, number)
            threads = source.documents if isinstance(source, ForumSpec) else None
            rows.append((name, source.path, len(input_files), threads, stored_bytes(input_files)))
    columns = ("corpus", "source", "parts", "threads", "bytes as stored")
    table = Table("Sources", columns, tuple(rows))
    steps = Table("Steps", ("step", "corpora"), tuple(
        (make_step(step).describe(), ", ".join(step.corpora or ()) or "all") for step in spec.steps))  # fmt: skip
    return Plan(f"curation {spec.name}", (table, steps), tuple(left_out(spec)))


def show(artifact: Artifact) -> Page:
    """Counts, histograms and token heat-maps."""
    from curation.show import page_of

    return page_of(artifact)


def to_dolma(artifact: Artifact, target: Path) -> None:
    """Dolma documents and attributes."""
    from curation.formats.dolma_export import export_dolma

    export_dolma(artifact, target)


CURATION: Stage[CurationSpec] = Stage(
    KIND, 3, CurationSpec, identity, run, plan, show, {"dolma": to_dolma}, on_ray=True
)
