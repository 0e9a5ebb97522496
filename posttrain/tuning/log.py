"""tune.jsonl: a line an interval of steps, cut back to the checkpoint when a killed run goes on."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from infra.artifacts.records import from_json, to_json
from infra.atomic import write_text

LOG = "tune.jsonl"
R = TypeVar("R")


@dataclass(frozen=True)
class TuneLine:
    """Means over the steps since the last line: the loss in nats, the learning rate and gradient norm of the last step
    (None where that was not finite).

    Of DPO also the share of pairs whose preferred text the model has come to prefer more than it did (`accuracy`), and
    by how much (`margin`: β times the difference of log-ratios).
    """

    step: int
    loss: float
    learning_rate: float
    grad_norm: float | None = None
    accuracy: float | None = None
    margin: float | None = None

    @staticmethod
    def of(step: int, logs: Mapping[str, float]) -> TuneLine:
        """What TRL logs, under our names."""
        names = {"grad_norm": "grad_norm", "accuracy": "rewards/accuracies", "margin": "rewards/margins"}
        more = {name: float(logs[key]) for name, key in names.items() if math.isfinite(logs.get(key, math.nan))}
        return TuneLine(step, float(logs["loss"]), float(logs["learning_rate"]), **more)


class Lines:
    """A file of JSON Lines in a work folder, a record with a `step` a line."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, line: Any) -> None:
        """Add one."""
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(to_json(line), allow_nan=False) + "\n")

    def cut_after(self, step: int) -> None:
        """Drop lines of steps that will be done again, and one that a kill left unfinished."""
        if self.path.exists():
            lines = [json.dumps(line) for line in finished_lines(self.path) if line["step"] <= step]
            write_text(self.path, "".join(line + "\n" for line in lines))


class TuneLog(Lines):
    """The log of the losses."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / LOG)


def finished_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Every line that is whole."""
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            return


def read_lines(kind: type[R], path: Path) -> list[R]:
    """The records of a file of lines; none where it is not there. Raises ArtifactError for a line of other keys."""
    return [from_json(kind, json.dumps(line), path) for line in finished_lines(path)] if path.exists() else []
