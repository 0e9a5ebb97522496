"""What a command leaves in the work folder for the processes that train there, and what they leave for it.

launch/spec.json            what to train
launch/log                  what the processes print
launch/failures/00003.json  why rank 3 failed
launch/job.json             the Slurm job that trains, and where it logs
launch/job.sbatch           the script that was submitted
launch/counts.json          the counts of the artifact: the training is done
"""

from __future__ import annotations

import json
import signal
import socket
from dataclasses import asdict, dataclass
from pathlib import Path

from infra.artifacts.records import JsonObject
from infra.atomic import write_json, write_text
from infra.errors import JobError, RankFailure
from infra.stages.job_state import forget_failures, report_failure, reported_failures
from infra.stages.result_folders import ELSEWHERE_FILE
from pretrain.spec import PretrainSpec

UNEXPECTED = "unexpected "
UNFINISHED = 128 + signal.SIGTERM
"""Exit code of a process that was told to stop, whether it could save first or not."""


@dataclass(frozen=True)
class SlurmJob:
    """A job as Slurm calls it (4242, or 4242_3 for a task of an array), and its log file."""

    id: str
    log: str


@dataclass(frozen=True)
class Work:
    """A work folder in which several processes train."""

    folder: Path

    @property
    def launch(self) -> Path:
        """Folder of all that is only about launching; it is gone from the finished artifact."""
        return self.folder / "launch"

    @property
    def log(self) -> Path:
        """What the processes print."""
        return self.launch / "log"

    def write(self, spec: PretrainSpec) -> None:
        """Say what to train."""
        self.launch.mkdir(parents=True, exist_ok=True)
        write_text(self.launch / "spec.json", spec.model_dump_json())

    def spec(self) -> PretrainSpec:
        """What to train. Raises JobError on a node that does not see the folder."""

        try:
            text = (self.launch / "spec.json").read_text(encoding="utf-8")
        except FileNotFoundError:
            raise JobError(
                f"node {socket.gethostname()} does not see {self.folder}; the mixture and --out must lie in folders "
                "that all nodes share"
            ) from None
        return PretrainSpec.model_validate_json(text)

    def finish(self, counts: JsonObject) -> None:
        """Say that the training is done."""
        write_json(self.launch / "counts.json", counts)

    def counts(self) -> JsonObject | None:
        """What the training came to; None while it is not done."""
        file = self.launch / "counts.json"
        return dict(json.loads(file.read_text())) if file.exists() else None

    def report(self, rank: int, reason: str) -> None:
        """Leave word of why a rank failed."""
        report_failure(self.launch, RankFailure(rank, f"rank {rank}", "", reason))

    def failures(self) -> list[RankFailure]:
        """Why ranks failed: each reason once. Ranks that only lost the others are left out when one says more."""
        failures = reported_failures(self.launch)
        explained = [failure for failure in failures if not failure.reason.startswith(UNEXPECTED)]
        first_by_reason: dict[str, RankFailure] = {}
        for failure in explained or failures:
            first_by_reason.setdefault(failure.reason, failure)
        return list(first_by_reason.values())

    def forget_failures(self) -> None:
        """Remove the words of an earlier try."""
        forget_failures(self.launch)

    def job(self) -> SlurmJob | None:
        """The Slurm job that a command submitted for this folder, whatever has become of it."""
        file = self.launch / "job.json"
        return SlurmJob(**json.loads(file.read_text())) if file.exists() else None

    def keep_job(self, job: SlurmJob) -> None:
        """Remember the Slurm job of this folder, which may be writing here when no command is."""
        (self.folder / ELSEWHERE_FILE).touch()
        write_json(self.launch / "job.json", asdict(job))
