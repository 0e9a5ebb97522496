"""Worker processes of a study: single-threaded, long-lived (torch is imported once), gone when their parent is."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from infra.errors import HormesisError
from infra.spec import Spec

THREADS = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "RAYON_NUM_THREADS": "1"}
"""One thread a worker: sums then have one order on every machine, and two workers do not fight for a core."""


@dataclass(frozen=True)
class Task:
    """What a worker needs for one step."""

    name: str
    kind: str
    spec: Spec
    target: Path
    store: Path
    log: Path
    workers: int


@dataclass(frozen=True)
class Outcome:
    """Where the artifact is, or the sentence that says what failed."""

    path: Path | None
    error: str | None


@contextlib.contextmanager
def pool_of(workers: int) -> Iterator[ProcessPoolExecutor]:
    """A pool of spawned workers; on leaving it early the workers and their children are killed."""
    with _environment(THREADS):
        pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_prepare)
    try:
        with _environment(THREADS):
            yield pool
    except BaseException:
        for process in list((pool._processes or {}).values()):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid or 0, signal.SIGKILL)
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()


def perform(task: Task) -> Outcome:
    """Run one step in this worker. Everything printed goes to the step's log; an error comes back as one sentence."""
    from analysis.study.kinds import stage_of
    from infra.stage import run_stage

    task.log.parent.mkdir(parents=True, exist_ok=True)
    with open(task.log, "a", encoding="utf-8", buffering=1) as log, _output_to(log.fileno()):
        try:
            artifact = run_stage(
                stage_of(task.kind), task.spec, task.target, store=task.store, workers=task.workers, quiet=True
            )
        except HormesisError as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            return Outcome(None, str(error))
        except Exception as error:
            traceback.print_exc()
            return Outcome(None, f"unexpected {type(error).__name__}: {error} (see {task.log})")
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
    return Outcome(artifact.path, None)


def _prepare() -> None:
    """Lead an own process group, and take it down when the parent is gone: a killed study leaves nobody at work."""
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.killpg(0, signal.SIGKILL)


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Environment that spawned children inherit; torch reads it when imported, before a worker could set it."""
    before = {key: os.environ.get(key) for key in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                del os.environ[key]
            else:
                os.environ[key] = value


@contextlib.contextmanager
def _output_to(descriptor: int) -> Iterator[None]:
    """Send file descriptors 1 and 2 (and so the output of libraries in C too) to `descriptor`."""
    kept = [os.dup(1), os.dup(2)]
    try:
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        yield
    finally:
        for number, old in zip((1, 2), kept, strict=True):
            os.dup2(old, number)
            os.close(old)
