"""The stage `curation`: corpora in, one artifact of tagged corpora out."""

from __future__ import annotations

import posixpath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curation.corpus import KIND
from curation.parts import content_of, parts_of
from curation.scorers import weights_of
from curation.spec import CorpusSpec, CurationSpec, ForumSpec
from infra.artifact import Artifact
from infra.fingerprint import digest
from infra.stage import Identity, Page, Plan, Stage, Table, Workspace

if TYPE_CHECKING:
    from curation.pipeline import Task


def identity(spec: CurationSpec) -> Identity:
    """What makes a curation what it is: contents of the sources, weights of the scorer, settings; no paths."""
    config = {
        "name": spec.name,
        "corpora": [_described(name, corpus) for name, corpus in spec.corpora.items()],
        "scorer": spec.scorer.model_dump(mode="json", exclude={"checkpoint", "config"}),
        "tagger": spec.tagger.model_dump(mode="json") if spec.tagger else None,
        "passage": spec.passage,
        "max_bad_share": spec.max_bad_share,
    }
    inputs = {f"corpora.{name}": digest([content_of(source) for source in corpus.sources])
              for name, corpus in spec.corpora.items()}  # fmt: skip
    return Identity(config, {**inputs, "scorer": weights_of(spec.scorer)})


def _described(name: str, corpus: CorpusSpec) -> dict[str, Any]:
    """A corpus as `lineage` shows it: its settings, with local paths cut down to their last part."""
    described = corpus.model_dump(mode="json")
    for source in described["sources"]:
        for each in (source, *source.get("sentences", ())):
            if not each["path"].startswith(("hf:", "wheel:", "synthetic:")):
                each["path"] = posixpath.basename(each["path"])
    return {"name": name, **described}


def tasks_of(spec: CurationSpec) -> list[Task]:
    """A task for every part; a corpus with a limit is one task, since its end depends on all that comes before."""
    from curation.pipeline import Task

    tasks = []
    for name, corpus in spec.corpora.items():
        parts = [part for number, source in enumerate(corpus.sources) for part in parts_of(source, number)]
        groups = [tuple(parts)] if corpus.limit else [(part,) for part in parts]
        tasks += [Task(name, shard, group, corpus.limit) for shard, group in enumerate(groups)]
    return tasks


def run(spec: CurationSpec, workspace: Workspace) -> dict[str, Any]:
    """Read, score, tag, write. Raises InputError, UnavailableError, DataError, RanksFailed."""
    from curation.finish import finish
    from curation.pipeline import run_tasks
    from curation.tagging import scorer_of

    tasks, work = tasks_of(spec), workspace.path / "work"
    scorer = scorer_of(spec)  # here, so that missing weights are told before any worker starts
    run_tasks(spec, tasks, workspace, work)
    return finish(spec, tasks, workspace, work, scorer)


def plan(spec: CurationSpec) -> Plan:
    """Files and bytes of every source, without reading any."""
    from curation.parts import size_of

    rows = []
    for name, corpus in spec.corpora.items():
        for number, source in enumerate(corpus.sources):
            parts = parts_of(source, number)
            threads = source.documents if isinstance(source, ForumSpec) else None
            rows.append((name, source.path, len(parts), threads, sum(map(size_of, parts)) or None))
    columns = ("corpus", "source", "parts", "threads", "bytes as stored")
    table = Table("Sources", columns, tuple(rows))
    tagger = f"tagged by {spec.tagger.name}" if spec.tagger else "not tagged"
    notes = (f"scored by {spec.scorer.name} in passages of at most {spec.passage} characters, {tagger}",)
    return Plan(f"curation {spec.name}", (table,), notes)


def show(artifact: Artifact) -> Page:
    """Counts, histograms and token heat-maps."""
    from curation.show import page_of

    return page_of(artifact)


def to_dolma(artifact: Artifact, target: Path) -> None:
    """Dolma documents and attributes."""
    from curation.dolma.write import export_dolma

    export_dolma(artifact, target)


CURATION: Stage[CurationSpec] = Stage(KIND, 1, CurationSpec, identity, run, plan, show, {"dolma": to_dolma})
