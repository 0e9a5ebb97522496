"""The progress bar of a training that other processes do."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

from infra.render.progress import PROGRESS_FILE, Advance, bar


class Follower:
    """Draws what the first rank writes to the work folder's progress file; `stack` ends the bar."""

    def __init__(self, folder: Path, quiet: bool, stack: contextlib.ExitStack) -> None:
        self.file, self.quiet, self._stack = folder / PROGRESS_FILE, quiet, stack
        self._label = ""
        self._done = 0
        self._advance: Advance = lambda count: None

    def look(self) -> None:
        """Bring the bar up to date."""
        seen = self._read()
        if seen is None:
            return
        if seen["label"] != self._label:
            self._stack.close()
            shown = bar(seen["label"], seen["total"], seen["unit"], done=seen["done"], quiet=self.quiet)
            self._advance = self._stack.enter_context(shown)
            self._label, self._done = seen["label"], seen["done"]
        self._advance(seen["done"] - self._done)
        self._done = seen["done"]

    def _read(self) -> dict[str, Any] | None:
        with contextlib.suppress(OSError, ValueError):
            return dict(json.loads(self.file.read_text(encoding="utf-8")))
        return None
