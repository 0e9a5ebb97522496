"""`hormesis status`: what is done, running, waiting or failed, from the files that running work leaves behind."""

from __future__ import annotations

import fcntl
import json
import os
import time
from pathlib import Path
from typing import Any

from infra.artifact import is_artifact, read_artifact
from infra.errors import InputError
from infra.progress import PROGRESS_FILE
from infra.stage import Table, partials_of

STEPS_FILE = ".steps.json"  # a study's list of steps with their states


def status_table(folder: Path) -> Table:
    """One row a step: step, state, progress. Raises InputError where nothing of ours is or was at work."""
    rows: list[tuple[object, ...]] = []
    if (folder / STEPS_FILE).is_file():
        rows += [_study_row(folder, step) for step in json.loads((folder / STEPS_FILE).read_text())]
    elif is_artifact(folder):
        artifact = read_artifact(folder)
        rows.append((artifact.kind, "done", f"{artifact.started} to {artifact.ended}"))
    else:
        rows += [(path.name, *_running(path)) for path in partials_of(folder)]
    if not rows:
        raise InputError(f"{folder}: no artifact, no study and no work in progress here")
    return Table(f"status of {folder}", ("step", "state", "progress"), tuple(rows))


def _study_row(folder: Path, step: dict[str, Any]) -> tuple[object, ...]:
    if step["state"] != "running":
        return step["name"], step["state"], step.get("detail", "")
    work = partials_of(folder / "steps" / step["name"])
    return step["name"], *(_running(work[0]) if work else ("running", ""))


def _running(partial: Path) -> tuple[str, str]:
    """State and progress of a work folder; a lock that nobody holds means that its process was stopped."""
    state = "running" if _held(partial) else "stopped (run the same command again to go on)"
    file = partial / PROGRESS_FILE
    if not file.is_file():
        return state, ""
    seen = json.loads(file.read_text())
    total, rate = seen["total"], seen["per_second"]
    share = f"{seen['done']:,}" + (f" of {total:,}" if total else "")
    left = f", ETA {(total - seen['done']) / rate:.0f} s" if total and rate > 0 and state == "running" else ""
    age = time.time() - seen["at"]
    return state, f"{seen['label']}: {share} {seen['unit']} ({rate:,.4g}/s{left}; {age:.0f} s ago)"


def _held(folder: Path) -> bool:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
