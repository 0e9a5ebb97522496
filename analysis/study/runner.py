"""Runs a study's steps: each distinct one once, in parallel, past failures, and from where a killed run stopped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from types import MappingProxyType

from analysis.study.devices import visible_gpus
from analysis.study.kinds import stage_of
from analysis.study.ledger import Ledger
from analysis.study.pool import Outcome, Task, perform, pool_of
from analysis.study.steps import StudyStep
from infra.artifacts.artifact import STEPS, STORE
from infra.cluster import RayCluster
from infra.errors import HormesisError
from infra.render.progress import bar
from infra.stages.stage import finished, work_folder

ATTEMPTS = 2
"""Tries of a step whose worker process died (memory, a signal). An error that a step raises itself is final."""


WAITED_FOR = 32
"""Steps of other machines that are waited for at one time, a process for each; more of them may be handed over."""


def run_steps(
    steps: list[StudyStep],
    folder: Path,
    workers: int,
    ray: RayCluster | None = None,
    failed: Mapping[str, str] = MappingProxyType({}),
) -> Ledger:
    """Bring every step to an end: done, failed or skipped. A step whose artifact is on disk and whole is not run.

    `workers` are processes of this machine; on `ray` are the steps that can use a cluster. Steps that `failed` before,
    with their sentences, are not tried.
    """
    folder = folder.absolute()  # other machines stand in other folders
    folder.mkdir(parents=True, exist_ok=True)
    ledger = Ledger(folder, steps)
    for name, why in failed.items():
        ledger.set(name, "failed", why)
    _settle(ledger)
    attempts: dict[str, int] = {}
    with bar("study", len(steps), "steps") as advance:
        advance(ledger.ended())
        while ledger.waiting():
            waits = sum(stage_of(step.kind).elsewhere is not None for step in steps)  # processes start when needed
            with pool_of(workers + min(waits, WAITED_FOR)) as pool:
                _drain(pool, ledger, workers, ray, attempts, advance)
    return ledger


def _drain(
    pool: ProcessPoolExecutor,
    ledger: Ledger,
    workers: int,
    ray: RayCluster | None,
    attempts: dict[str, int],
    advance: Callable[[int], None],
) -> None:
    """Feed one pool until nothing is left, or until it breaks because a worker died."""
    running: dict[Future[Outcome], StudyStep] = {}
    broken = False
    while True:
        before = ledger.ended()
        # A step that nothing can run beside (curation, the one mixture of a one-dose study) gets every worker.
        alone = not running and len(ledger.ready()) == 1
        for step in [] if broken else _next(ledger, list(running.values()), workers):
            task = _task(step, ledger, workers if alone else 1, ray)
            try:
                running[pool.submit(perform, task)] = step
            except BrokenProcessPool:  # an idle worker was killed; the next pool takes the step
                broken = True
                break
            ledger.set(step.name, "running")
        ledger.write()
        if not running:
            return
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            broken = _finish(running.pop(future), future, ledger, attempts) or broken
        _settle(ledger)
        advance(ledger.ended() - before)


def _next(ledger: Ledger, running: list[StudyStep], workers: int) -> list[StudyStep]:
    """The steps to start now: as many as there are workers for. What other machines do takes no worker, and is handed
    over together as far as it is ready: the arms of a study become one array.
    """
    ready = ledger.ready()
    away = {step.name for step in [*ready, *running] if _elsewhere(step, ledger)}
    local = [step for step in ready if step.name not in away]
    free = workers - sum(step.name not in away for step in running)
    sent = [step for step in ready if step.name in away and not _held(step.kind, ledger)]
    refused = _submit([step for step in sent if step.name not in ledger.handed_over], ledger)
    unwatched = WAITED_FOR - sum(step.name in away for step in running)
    watched = [step for step in sent if step.name not in refused][: max(unwatched, 0)]
    return [*watched, *local[: max(free, 0)]]


def _held(kind: str, ledger: Ledger) -> bool:
    """Whether steps of a kind still wait for what this machine makes, mixtures: all of them then go together. What
    waits for other machines holds nobody up, as arms may be trained days after each other.
    """
    kinds = {step.name: step.kind for step in ledger.steps}
    needs = {need for step in ledger.waiting() if step.kind == kind for need in step.needs}
    return any(stage_of(kinds[need]).submit is None for need in needs - ledger.paths.keys())


def _elsewhere(step: StudyStep, ledger: Ledger) -> bool:
    """Whether other machines do a step's work."""
    stage = stage_of(step.kind)
    return stage.elsewhere is not None and stage.elsewhere(step.make(ledger.paths))


def _submit(steps: list[StudyStep], ledger: Ledger) -> set[str]:
    """Hand over what other machines do, the steps of a kind together; returns which were refused, and have failed."""
    refused = set()
    for kind in sorted({step.kind for step in steps}):
        together = [step for step in steps if step.kind == kind]
        try:
            _submit_kind(kind, together, ledger)
        except HormesisError as error:
            for step in together:
                ledger.set(step.name, "failed", str(error))
            refused |= {step.name for step in together}
    ledger.skip_orphans()
    ledger.handed_over |= {step.name for step in steps}
    return refused


def _submit_kind(kind: str, steps: list[StudyStep], ledger: Ledger) -> None:
    stage = stage_of(kind)
    specs = [(step.make(ledger.paths), target_of(step, ledger.folder)) for step in steps]
    if stage.submit is not None:
        stage.submit([(spec, work_folder(stage, spec, target)) for spec, target in specs], ledger.folder / "logs")


def _finish(step: StudyStep, future: Future[Outcome], ledger: Ledger, attempts: dict[str, int]) -> bool:
    """Record how a step ended; returns whether the pool is broken."""
    try:
        outcome = future.result()
    except BrokenProcessPool:
        attempts[step.name] = attempts.get(step.name, 0) + 1
        if attempts[step.name] >= ATTEMPTS:
            ledger.set(step.name, "failed", "its worker process died twice (out of memory, or killed)")
        else:
            ledger.set(step.name, "waiting")
        return True
    if outcome.path is not None:
        ledger.done(step.name, outcome.path)
    else:
        ledger.set(step.name, "failed", outcome.error or "")
    return False


def _settle(ledger: Ledger) -> None:
    """Mark what needs no running: steps that are on disk, and steps that can never run because one before them failed.

    Steps stand after their needs, so one pass sees every step whose needs the pass itself settled.
    """
    for step in ledger.waiting():
        if step.name not in ledger.looked_up and all(need in ledger.paths for need in step.needs):
            ledger.looked_up.add(step.name)
            try:
                artifact = finished(stage_of(step.kind), step.make(ledger.paths), target_of(step, ledger.folder))
            except HormesisError as error:
                ledger.set(step.name, "failed", str(error))
                continue
            if artifact is not None:
                ledger.done(step.name, artifact.path)
    ledger.skip_orphans()


def _task(step: StudyStep, ledger: Ledger, workers: int, ray: RayCluster | None) -> Task:
    return Task(
        name=step.name,
        kind=step.kind,
        spec=step.make(ledger.paths),
        target=target_of(step, ledger.folder),
        store=ledger.folder / STEPS / STORE,
        log=ledger.folder / "logs" / f"{step.name}.log",
        workers=workers,
        ray=ray if stage_of(step.kind).on_ray else None,
        gpus=visible_gpus(),
    )


def target_of(step: StudyStep, folder: Path) -> Path:
    """Where a step's artifact goes."""
    return folder / STEPS / step.name
