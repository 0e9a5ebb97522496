"""The end of a curation: bad lines are weighed, counts are summed, the manifest is written, the work folder goes."""

from __future__ import annotations

import json
import shutil
from functools import reduce
from pathlib import Path
from typing import Any

from curation.corpus import MANIFEST
from curation.pipeline import UNFINISHED, Task, quarantine_of, summary_of
from curation.scorers import Scorer, weights_of
from curation.spec import CurationSpec
from curation.summary import Summary
from infra.atomic import atomic_path, write_json
from infra.errors import DataError, InputError
from infra.stage import Workspace

_SHOWN = 5  # bad lines in a message


def finish(spec: CurationSpec, tasks: list[Task], workspace: Workspace, work: Path, scorer: Scorer) -> dict[str, Any]:
    """Write `quarantine.jsonl` and `manifest.json`; returns the artifact's counts.

    Raises DataError when too many lines of a corpus are bad, InputError when a corpus is empty.
    """
    corpora = {}
    for name in spec.corpora:
        ranks = [rank for rank, task in enumerate(tasks) if task.corpus == name]
        corpora[name] = _corpus(spec, name, {tasks[rank].file: summary_of(work, rank) for rank in ranks}, scorer)
        _weigh(spec, name, corpora[name], [quarantine_of(work, rank) for rank in ranks], workspace)
    with atomic_path(workspace.path / "quarantine.jsonl") as target, open(target, "wb") as out:
        for rank in range(len(tasks)):
            out.write(quarantine_of(work, rank).read_bytes())
    scored_by = {"scorer": scorer.identity, "weights": weights_of(spec.scorer), "passage": spec.passage}
    write_json(workspace.path / MANIFEST, {**scored_by, "corpora": corpora})
    for left in workspace.path.glob(f"corpora/*/*{UNFINISHED}"):  # by a worker of a killed run, after this one began
        left.unlink(missing_ok=True)
    shutil.rmtree(work)
    names = ("documents", "characters", "words", "bad_lines")
    return {name: {key: corpus[key] for key in names} for name, corpus in corpora.items()}


def _corpus(spec: CurationSpec, name: str, shards: dict[str, Summary], scorer: Scorer) -> dict[str, Any]:
    """A corpus's entry in the manifest."""
    total = reduce(Summary.plus, shards.values(), Summary())
    files = [{"name": Path(file).name, "documents": shard.documents, "characters": shard.characters}
             for file, shard in shards.items()]  # fmt: skip
    tagger = spec.tagger.model_dump(mode="json") if spec.tagger else None
    return {**total.to_json(), "attributes": list(scorer.attributes), "tagger": tagger, "files": files}


def _weigh(spec: CurationSpec, name: str, corpus: dict[str, Any], files: list[Path], workspace: Workspace) -> None:
    """Stop when too much of a corpus is bad or nothing is left of it; tell when a little is."""
    bad, good = corpus["bad_lines"], corpus["documents"]
    share = bad / (bad + good) if bad else 0.0
    first = "; ".join(_first(files))
    if share > spec.max_bad_share:
        raise DataError(f"{first}\ncorpus {name}: {bad} of {bad + good} lines are bad, a share of {share:.3g}, "
                        f"and max_bad_share is {spec.max_bad_share:g}")  # fmt: skip
    if not good:
        raise InputError(f"corpus {name} is empty: its sources hold no document with text")
    if bad:
        workspace.note(f"corpus {name}: {bad} of {bad + good} lines are bad; left out, see quarantine.jsonl: {first}")


def _first(files: list[Path]) -> list[str]:
    found: list[str] = []
    for file in files:
        with open(file, encoding="utf-8") as lines:
            for line, _ in zip(lines, range(_SHOWN - len(found)), strict=False):
                record = json.loads(line)
                found.append(f"{record['file']}:{record['line']}: {record['reason']}")
    return found
