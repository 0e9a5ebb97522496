"""What a command leaves in the work folder for the processes that work there, and what they leave for it.

launch/spec.json            what to do: an Assignment
launch/log                  what the processes print
launch/failures/00003.json  why rank 3 failed
launch/job.json             the Slurm job that does it, and where it logs
launch/job.sbatch           the script that was submitted
launch/counts.json          the counts of the artifact: the work is done
"""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

from infra.artifacts.records import JsonObject, from_json
from infra.atomic import write_json
from infra.config.registry import imported, location_of
from infra.config.spec import Spec
from infra.errors import JobError, RankFailure
from infra.stages.job_state import forget_failures, report_failure, reported_failures
from infra.stages.result_folders import ELSEWHERE_FILE
from infra.stages.stage import Workspace

Do: TypeAlias = Callable[[Any, Workspace], JsonObject]
"""What does the work of a specification and returns the counts of the artifact."""

UNEXPECTED = "unexpected "
UNFINISHED = 128 + signal.SIGTERM
"""Exit code of a process that was told to stop, whether it could save first or not."""


@dataclass(frozen=True)
class SlurmJob:
    """A job as Slurm calls it (4242, or 4242_3 for a task of an array), and its log file."""

    id: str
    log: str


@dataclass(frozen=True)
class Assignment:
    """What the processes are to do: a function and its specification, whose class, as Python finds them anywhere."""

    kind: str
    name: str
    function: str
    form: str
    spec: JsonObject

    @classmethod
    def of(cls, kind: str, do: Do, spec: Any) -> Assignment:
        """`do` on `spec`, which has a `name`. Only keys that were given are written: some sections ask which."""
        written = spec.model_dump(mode="json", exclude_unset=True)
        return cls(kind, spec.name, location_of(do), location_of(type(spec)), written)

    def read_spec(self) -> Spec:
        """The specification."""
        form: type[Spec] = imported(self.form)
        return form.model_validate(self.spec)

    def do(self, workspace: Workspace) -> JsonObject:
        """Do it, as one process of those that are to; returns the counts of the artifact."""
        counts: JsonObject = imported(self.function)(self.read_spec(), workspace)
        return counts


@dataclass(frozen=True)
class Work:
    """A work folder in which processes that a launcher has started are at work."""

    folder: Path

    @property
    def launch(self) -> Path:
        """Folder of all that is only about launching; it is gone from the finished artifact."""
        return self.folder / "launch"

    @property
    def log(self) -> Path:
        """What the processes print."""
        return self.launch / "log"

    def write(self, assignment: Assignment) -> None:
        """Say what to do."""
        self.launch.mkdir(parents=True, exist_ok=True)
        write_json(self.launch / "spec.json", asdict(assignment))

    def assignment(self) -> Assignment:
        """What to do. Raises JobError on a node that does not see the folder."""
        file = self.launch / "spec.json"
        try:
            return from_json(Assignment, file.read_bytes(), file)
        except FileNotFoundError:
            raise JobError(
                f"node {socket.gethostname()} does not see {self.folder}; the inputs and --out must lie in folders "
                "that all nodes share"
            ) from None

    def finish(self, counts: JsonObject) -> None:
        """Say that the work is done."""
        write_json(self.launch / "counts.json", counts)

    def counts(self) -> JsonObject | None:
        """What the work came to; None while it is not done."""
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
