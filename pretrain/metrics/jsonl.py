"""log.jsonl: one line an interval, cut back to the checkpoint when a run is taken up again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.atomic import write_text


@dataclass(frozen=True)
class Log:
    """The log of one run at `path`; every line is a JSON object with at least `step`."""

    path: Path

    def append(self, line: dict[str, Any]) -> None:
        """Add one line."""
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line, allow_nan=False) + "\n")

    def cut_after(self, step: int) -> None:
        """Drop lines of steps that will be done again, and a line that a kill left unfinished."""
        if self.path.exists():
            lines = [json.dumps(line) for line in read_log(self.path) if line["step"] <= step]
            write_text(self.path, "".join(line + "\n" for line in lines))


def read_log(path: Path) -> list[dict[str, Any]]:
    """All lines of a log but one that a kill left unfinished."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(line))
        except ValueError:
            break
    return lines
