"""The state of every step of a study, in memory and in the file that `hormesis status` reads."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from analysis.study.steps import StudyStep
from infra.atomic import write_json
from infra.stages.status import STEPS_FILE

State = Literal["waiting", "running", "done", "failed", "skipped"]
ENDED = ("done", "failed", "skipped")


@dataclass
class Ledger:
    """States, details and artifacts by step name."""

    folder: Path
    steps: list[StudyStep]
    state: dict[str, State] = field(default_factory=dict)
    detail: dict[str, str] = field(default_factory=dict)
    paths: dict[str, Path] = field(default_factory=dict)
    looked_up: set[str] = field(default_factory=set)
    """Steps whose artifact was looked for on disk already; nobody else makes it meanwhile."""
    handed_over: set[str] = field(default_factory=set)
    """Steps that other machines were told of, so that they need only be waited for."""

    def set(self, name: str, state: State, detail: str = "") -> None:
        """Move a step to `state`."""
        self.state[name], self.detail[name] = state, detail

    def done(self, name: str, path: Path) -> None:
        """Record a step's artifact."""
        self.paths[name] = path
        self.set(name, "done", path.name)

    def write(self) -> None:
        """Write the file for `status`."""
        rows = [
            {"name": step.name, "state": self.state.get(step.name, "waiting"), "detail": self.detail.get(step.name, "")}
            for step in self.steps
        ]
        write_json(self.folder / STEPS_FILE, rows)

    def waiting(self) -> list[StudyStep]:
        """Steps that have not been started, in order."""
        return [step for step in self.steps if self.state.get(step.name, "waiting") == "waiting"]

    def ready(self) -> list[StudyStep]:
        """Waiting steps all of whose needs are done."""
        return [step for step in self.waiting() if all(need in self.paths for need in step.needs)]

    def ended(self) -> int:
        """How many steps have come to an end."""
        return sum(state in ENDED for state in self.state.values())

    def skip_orphans(self) -> None:
        """Mark the waiting steps that need a failed or skipped one; in one pass, as steps stand after their needs."""
        for step in self.waiting():
            lost = [need for need in step.needs if self.state.get(need) in ("failed", "skipped")]
            if lost:
                self.set(step.name, "skipped", f"needs {lost[0]}")

    def having(self, state: State) -> list[tuple[StudyStep, str]]:
        """(step, detail) of the steps in `state`."""
        return [(step, self.detail[step.name]) for step in self.steps if self.state.get(step.name) == state]
