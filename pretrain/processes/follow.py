"""The progress bar of a training that other processes do."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from infra.artifacts.records import from_json
from infra.errors import ArtifactError
from infra.render.progress import PROGRESS_FILE, Advance, bar


@dataclass(frozen=True)
class Shown:
    """What the first rank's progress file says: `done` of `total` units of the work called `label`."""

    label: str
    total: int | None
    unit: str
    done: int


class Follower:
    """Draws what the first rank writes to the work folder's progress file; `stack` ends the bar."""

    def __init__(self, folder: Path, quiet: bool, stack: contextlib.ExitStack) -> None:
        self.file, self.quiet, self._stack = folder / PROGRESS_FILE, quiet, stack
        self._label = ""
        self._done = 0
        self._advance: Advance = lambda count: None

    def look(self) -> None:
        """Bring the bar up to date."""
        shown = self._read()
        if shown is None:
            return
        if shown.label != self._label:
            self._stack.close()
            new_bar = bar(shown.label, shown.total, shown.unit, done=shown.done, quiet=self.quiet)
            self._advance = self._stack.enter_context(new_bar)
            self._label, self._done = shown.label, shown.done
        self._advance(shown.done - self._done)
        self._done = shown.done

    def _read(self) -> Shown | None:
        with contextlib.suppress(OSError, ArtifactError):  # not there yet, or of an older version
            return from_json(Shown, self.file.read_bytes(), self.file)
        return None
