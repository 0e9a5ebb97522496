"""What depends on the machine that scores, asked of a worker before the passes begin.

Where the command's own processors score, they have been asked for the fingerprint, and nothing is left. Otherwise a job
of one rank looks, on whatever worker gets it, for a GPU, for the fastest number format and for the size of a batch. Its
answers lie in the work folder: all workers, and a resumed run, go by them, or their bytes would differ.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datatrove.pipeline.base import PipelineStep

from curation.scorers import SCORERS
from curation.scorers.options import ScorerSpec
from curation.scoring.resolve import deferred, on_this_machine, resolved, scorers_in, with_scorers
from curation.spec import CurationSpec
from infra.atomic import write_json
from infra.errors import UnavailableError, UserError
from infra.jobs.base import Job, Workers
from infra.jobs.execute import execute
from infra.stages.stage import Workspace

if TYPE_CHECKING:
    from datatrove.data import Document


class Ask(PipelineStep):
    """Makes scorers definite where it runs, and writes down what they became."""

    name = "ask"
    type = "curation"

    def __init__(self, scorers: list[ScorerSpec], file: Path) -> None:
        super().__init__()
        self.scorers, self.file = scorers, file

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        """Yield nothing. What the user must change is an answer as well, as no other try would give another."""
        try:
            write_json(self.file, {"scorers": [resolved(scorer).model_dump(mode="json") for scorer in self.scorers]})
        except UserError as error:
            write_json(self.file, {"refused": str(error)})
        yield from ()


def placed(spec: CurationSpec) -> CurationSpec:
    """The curation as its fingerprint sees it: definite where this machine's processors score, and left to the workers
    where other machines or GPUs may. Raises InputError, UnavailableError.
    """
    return on_this_machine(spec) if not spec.execution.elsewhere else deferred(spec)


def settled(spec: CurationSpec, workspace: Workspace, workers: Workers) -> CurationSpec:
    """The curation as its workers run it, with a definite device, format and batch for every scorer. Raises
    UnavailableError where they do not have what is asked for, RanksFailed.
    """
    scorers = scorers_in(spec)
    if deferred(spec) is spec and not any("worker" in scorer.model_dump().values() for scorer in scorers):
        return spec
    folder = workspace.path / "work" / "machine"
    file = folder / "scorers.json"
    execute(Job("ask a worker", (Ask(scorers, file),), ("scorers",), folder / "jobs"), workspace, workers)
    answer = json.loads(file.read_text(encoding="utf-8"))
    if "refused" in answer:
        shutil.rmtree(folder)  # the next run asks anew: other workers may have it
        raise UnavailableError(f"{answer['refused']} ({_answering_worker(spec, workspace)})")
    options = answer["scorers"]
    for scorer in options:
        if "device" in scorer:
            workspace.note(f"{scorer['name']}: on {scorer['device']}, {scorer['precision']}, "
                           f"{scorer['batch_tokens']:,} tokens a batch, as a worker chose")  # fmt: skip
    return with_scorers(spec, [SCORERS.get(scorer["name"]).options.model_validate(scorer) for scorer in options])


def _answering_worker(spec: CurationSpec, workspace: Workspace) -> str:
    """Who was asked, and what would bring GPUs to it."""
    if workspace.ray is not None:
        return "asked on a worker of the Ray cluster; `execution.ray.gpus` is what Ray gives a worker"
    if spec.execution.slurm is not None:
        return "asked on a node of Slurm; `execution.slurm.gpus_per_task` is what a task gets there"
    return "asked on this machine, as `execution.ray` counts only with --ray ADDRESS"
