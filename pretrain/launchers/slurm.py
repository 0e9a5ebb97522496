"""The launcher `slurm`: a batch job with a process per GPU; steps that a study hands over together become one array."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from infra.atomic import write_text
from infra.jobs.slurm_cli import queued, require_slurm, submit
from infra.render.progress import say
from pretrain.launchers.base import LaunchedWork
from pretrain.launchers.base_processes import ProcessLauncher
from pretrain.launchers.options import SlurmSpec
from pretrain.processes.sbatch import script_for
from pretrain.processes.work import SlurmJob, Work

KEY = "launcher"


class Slurm(ProcessLauncher):
    """Submits a job and waits for it. A job that a killed command has left is waited for, not submitted again."""

    options = SlurmSpec
    poll = 10.0

    @contextlib.contextmanager
    def started(self, work: Work, ranks: int) -> Iterator[None]:
        """Find the folder's job, or submit one; it goes on when this command is stopped."""
        require_slurm(KEY)
        job = work.job()
        if job is None or not queued(job.id):
            submit_for(self.spec, work.assignment().name, [work.folder])
        job = work.job()
        assert job is not None
        self.job, self._work, self._grace = job, work, True
        try:
            yield
        except BaseException:
            say(f"Slurm job {job.id} goes on; the same command waits for it again, `scancel {job.id}` ends it")
            raise

    def running(self) -> bool:
        """Whether Slurm has the job still; one look more, as a network file system may show the last files late."""
        if queued(self.job.id):
            return True
        if self._work.counts() is not None:
            return False
        self._grace, grace = False, self._grace
        return grace

    def _silence(self, work: Work) -> str:
        return (
            f"Slurm job {self.job.id} ended before the work did, and without a word: time limit, memory, or "
            f"cancelled (log: {self.job.log}); run the same command again to go on where it was last saved"
        )


def submit_for(spec: SlurmSpec, name: str, folders: Sequence[Path], logs: Path | None = None) -> None:
    """Submit one job for a folder, or an array for several; each folder remembers its own."""
    works = [Work(folder) for folder in folders]
    logs = logs or works[0].launch
    logs.mkdir(parents=True, exist_ok=True)
    script = works[0].launch / "job.sbatch"
    write_text(script, script_for(spec, name, folders, logs))
    number = submit(script, KEY)
    for index, work in enumerate(works):
        job = number if len(works) == 1 else f"{number}_{index}"
        work.keep_job(SlurmJob(job, str(logs / f"{job}.log")))


def submit_together(work: LaunchedWork, todo: Sequence[tuple[Any, Path]], logs: Path) -> None:
    """Submit what asks for the same machines as one array, but what is done or has a job: (specification, folder)."""
    groups: dict[str, list[tuple[Any, Path]]] = {}
    for spec, folder in todo:
        if isinstance(spec.launcher, SlurmSpec) and not _in_hand(Work(folder)):
            groups.setdefault(spec.launcher.model_dump_json(), []).append((spec, folder))
    for group in groups.values():
        if len(group) > 1:
            _submit_array(work, group, logs)


def _in_hand(work: Work) -> bool:
    """Whether a folder's work is done, or waits or runs under Slurm."""
    job = work.job()
    return work.counts() is not None or (job is not None and queued(job.id))


def _submit_array(work: LaunchedWork, group: list[tuple[Any, Path]], logs: Path) -> None:
    require_slurm(KEY)
    work.check([spec for spec, _ in group], True)
    for spec, folder in group:
        Work(folder).write(work.assignment(spec))
    submit_for(group[0][0].launcher, logs.parent.name, [folder for _, folder in group], logs)
