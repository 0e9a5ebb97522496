"""`hormesis status`: what is done, running, waiting or failed, from the files that running work leaves behind."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from infra.artifacts.artifact import STEPS, is_artifact, read_artifact
from infra.errors import InputError
from infra.render.page import Table
from infra.render.progress import PROGRESS_FILE
from infra.stages.job_state import JobState, RunningRank, job_state
from infra.stages.lease import holder_of
from infra.stages.result_folders import partials_of

STEPS_FILE = ".steps.json"  # a study's list of steps with their states
STOPPED = "stopped (run the same command again to go on)"


def status_tables(folder: Path) -> list[Table]:
    """A row a step, then a table of ranks for every job that is at work or has failed.

    Raises InputError where nothing of ours is or was at work.
    """
    rows: list[tuple[object, ...]] = []
    works: list[Path] = []
    if (folder / STEPS_FILE).is_file():
        for step in json.loads((folder / STEPS_FILE).read_text()):
            partials = partials_of(folder / STEPS / step["name"]) if step["state"] in ("running", "failed") else []
            works += partials
            rows.append(_study_row(step, partials))
    elif is_artifact(folder):
        artifact = read_artifact(folder)
        rows.append((artifact.kind, "done", f"{artifact.started} to {artifact.ended}"))
    else:
        works = partials_of(folder)
        rows += [(path.name, *_running(path)) for path in works]
    if not rows:
        raise InputError(f"{folder}: no artifact, no study and no work in progress here")
    steps = Table(f"status of {folder}", ("step", "state", "progress"), tuple(rows))
    return [steps, *(table for work in works for table in _ranks(work))]


def _study_row(step: dict[str, Any], partials: list[Path]) -> tuple[object, ...]:
    if step["state"] != "running":
        return step["name"], step["state"], step.get("detail", "")
    return step["name"], *(_running(partials[0]) if partials else ("running", ""))


def _running(partial: Path) -> tuple[str, str]:
    """State and progress of a work folder; a lock that nobody holds means that its process was stopped."""
    held = holder_of(partial) is not None
    state = "running" if held else STOPPED
    if (job := job_state(partial)) is not None:
        return state, _job_progress(job, held)
    file = partial / PROGRESS_FILE
    if not file.is_file():
        return state, ""
    seen = json.loads(file.read_text())
    total, rate = seen["total"], seen["per_second"]
    share = f"{seen['done']:,}" + (f" of {total:,}" if total else "")
    left = f", ETA {(total - seen['done']) / rate:.0f} s" if total and rate > 0 and held else ""
    age = time.time() - seen["at"]
    return state, f"{seen['label']}: {share} {seen['unit']} ({rate:,.4g}/s{left}; {age:.0f} s ago)"


def _job_progress(job: JobState, held: bool) -> str:
    """How far a job is; speeds and an ETA only while somebody is at it."""
    phrases = [f"{job.done:,} of {job.ranks:,} ranks done"]
    if held:
        phrases += [f"{len(job.running)} running", f"{job.per_second:,.4g} docs/s"]
        phrases += [f"ETA {job.eta:,.0f} s"] if job.eta is not None else []
    if job.failures:
        phrases.append(f"{len(job.failures)} failed")
    return f"{job.name}: {', '.join(phrases)}"


def _ranks(work: Path) -> list[Table]:
    """The ranks that run, the longest first, and those that failed."""
    job = job_state(work)
    tables = []
    if job and job.running and holder_of(work) is not None:
        longest = sorted(job.running, key=lambda rank: -rank.seconds)
        columns = ("reads", "documents", "docs/s", "seconds", "silent for", "worker", "")
        tables.append(Table(f"{job.name}: running", columns, tuple(_rank_row(rank) for rank in longest)))
    if job and job.failures:
        rows = tuple((failure.rank, failure.reads, failure.where, failure.reason) for failure in job.failures)
        tables.append(Table(f"{job.name}: failed", ("rank", "reads", "file:line", "reason"), rows))
    return tables


def _rank_row(rank: RunningRank) -> tuple[object, ...]:
    rate = round(rank.documents / rank.seconds, 1) if rank.seconds > 0 else None
    silent, note = f"{time.time() - rank.at:.0f} s", "straggler" if rank.straggles else ""
    return rank.reads, rank.documents, rate, round(rank.seconds), silent, f"{rank.host}:{rank.pid}", note
