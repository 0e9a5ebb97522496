"""A study's worker processes: single-threaded, and long-lived, so that torch is imported once."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from analysis.study.devices import devices_for
from analysis.study.kinds import stage_of
from infra.cluster import RayCluster
from infra.config.spec import Spec
from infra.errors import HormesisError
from infra.jobs.processes import worker_number, worker_pool
from infra.stages.stage import run_stage

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
    ray: RayCluster | None = None
    gpus: tuple[str, ...] = ()
    """GPUs of this machine, which its workers take in turn."""


@dataclass(frozen=True)
class Outcome:
    """Where the artifact is, or the sentence that says what failed."""

    path: Path | None
    error: str | None


@contextlib.contextmanager
def pool_of(workers: int) -> Iterator[ProcessPoolExecutor]:
    """A pool of single-threaded workers."""
    with _environment(THREADS), worker_pool(workers) as pool:
        yield pool


def perform(task: Task) -> Outcome:
    """Run one step in this worker. Everything printed goes to the step's log; an error comes back as one sentence."""
    task.log.parent.mkdir(parents=True, exist_ok=True)
    devices = devices_for(task.kind, task.spec, worker_number(), task.gpus)
    with open(task.log, "a", encoding="utf-8", buffering=1) as log, _output_to(log.fileno()), _environment(devices):
        try:
            artifact = run_stage(
                stage_of(task.kind),
                task.spec,
                task.target,
                store=task.store,
                workers=task.workers,
                quiet=True,
                ray=task.ray,
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
    saved = [os.dup(1), os.dup(2)]
    try:
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        yield
    finally:
        for number, old in zip((1, 2), saved, strict=True):
            os.dup2(old, number)
            os.close(old)
