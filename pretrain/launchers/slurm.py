"""The launcher `slurm`: a batch job with a process per GPU; the arms of a study become one array."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from infra.atomic import write_text
from infra.jobs.slurm_cli import queued, require_slurm, submit
from infra.render.progress import say
from pretrain.launchers.base_processes import ProcessLauncher, check_inputs
from pretrain.launchers.options import SlurmSpec
from pretrain.processes.sbatch import script_for
from pretrain.processes.work import SlurmJob, Work
from pretrain.spec import PretrainSpec

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
            submit_for(self.spec, work.spec().name, [work.folder])
        job = work.job()
        assert job is not None
        self.job, self._grace = job, True
        try:
            yield
        except BaseException:
            say(f"Slurm job {job.id} goes on; the same command waits for it again, `scancel {job.id}` ends it")
            raise

    def running(self) -> bool:
        """Whether Slurm has the job still; one look more, as a network file system may show the last files late."""
        if queued(self.job.id):
            return True
        self._grace, grace = False, self._grace
        return grace

    def _silence(self, work: Work) -> str:
        return (
            f"Slurm job {self.job.id} ended before the training did, and without a word: time limit, memory, or "
            f"cancelled (log: {self.job.log}); run the same command again to go on from the newest checkpoint"
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


def submit_together(todo: Sequence[tuple[PretrainSpec, Path]], logs: Path) -> None:
    """Submit the trainings of a study that ask for the same machines as one array, but those that have a job."""
    groups: dict[str, list[tuple[PretrainSpec, Path]]] = {}
    for spec, folder in todo:
        job = Work(folder).job()
        if isinstance(spec.launcher, SlurmSpec) and not (job is not None and queued(job.id)):
            groups.setdefault(spec.launcher.model_dump_json(), []).append((spec, folder))
    for group in groups.values():
        if len(group) > 1:
            _submit_array(group, logs)


def _submit_array(group: list[tuple[PretrainSpec, Path]], logs: Path) -> None:
    require_slurm(KEY)
    check_inputs(*(spec for spec, _ in group), verify=True)
    for spec, folder in group:
        Work(folder).write(spec)
    launcher = group[0][0].launcher
    assert isinstance(launcher, SlurmSpec)
    submit_for(launcher, logs.parent.name, [folder for _, folder in group], logs)
