"""log.jsonl: one line an interval, cut back to the checkpoint when a run is restored."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from infra.artifacts.records import JsonObject, from_json, to_json
from infra.atomic import write_text


@dataclass(frozen=True)
class LogLine:
    """What a run says after an interval of steps; cross-entropies in nats per token, None where there was no token.

    `loss` is the policy's, None where no token carried one; `grad_norm` that of the last step, None where it was not
    finite; `mfu` None where the device's peak is not known; `held_out` by component, where it was measured.
    """

    step: int
    loss: float | None
    lr: float
    grad_norm: float | None
    tokens: int
    skipped_steps: int
    cross_entropy: dict[str, float | None]
    cross_entropy_by_risk: dict[str, float]
    tokens_per_second: float
    mfu: float | None
    checkpoint_share: float
    eta_seconds: float
    held_out: dict[str, dict[str, float | None]] | None = None


@dataclass(frozen=True)
class Log:
    """The log of one run at `path`; every line is a JSON object."""

    path: Path

    def append(self, line: LogLine) -> None:
        """Add one line."""
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(to_json(line), allow_nan=False) + "\n")

    def cut_after(self, step: int) -> None:
        """Drop lines of steps that will be done again, and a line that a kill left unfinished."""
        if self.path.exists():
            lines = [json.dumps(line) for line in _finished_lines(self.path) if line["step"] <= step]  # type: ignore[operator]
            write_text(self.path, "".join(line + "\n" for line in lines))


def read_log(path: Path) -> list[LogLine]:
    """All lines of a log but one that a kill left unfinished. Raises ArtifactError for a line of other keys."""
    return [from_json(LogLine, json.dumps(line), path) for line in _finished_lines(path)]


def _finished_lines(path: Path) -> Iterator[JsonObject]:
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            return
