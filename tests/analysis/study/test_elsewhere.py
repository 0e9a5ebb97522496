"""What other machines do takes no worker of a study, and is handed over together (`study.runner`, `study.ledger`)."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from analysis.study import runner
from analysis.study.ledger import Ledger
from analysis.study.steps import StudyStep
from infra.errors import UnavailableError


@pytest.fixture
def submitted(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Names of what was handed over, a list each time; pretraining is done elsewhere, all else here."""
    seen: list[list[str]] = []

    def submit(todo: list[tuple[str, Path]], _logs: Path) -> None:
        seen.append([spec for spec, _ in todo])

    elsewhere = SimpleNamespace(kind="pretrain", elsewhere=lambda spec: True, submit=submit)
    here = SimpleNamespace(kind="mixture", elsewhere=None, submit=None)
    monkeypatch.setattr(runner, "stage_of", lambda kind: elsewhere if kind == "pretrain" else here)
    monkeypatch.setattr(runner, "work_folder", lambda stage, spec, target: target)
    return seen


def study(tmp_path: Path) -> Ledger:
    """Three doses with an arm each, and what is measured of each arm."""

    def step(name: str, kind: str, *needs: str) -> StudyStep:
        return StudyStep(name, kind, needs, lambda paths: name)  # type: ignore[arg-type,return-value]

    doses = [step(f"mixture-{dose}", "mixture") for dose in range(3)]
    arms = [step(f"arm-{dose}", "pretrain", f"mixture-{dose}") for dose in range(3)]
    measures = [step(f"measure-{dose}", "analysis", f"arm-{dose}") for dose in range(3)]
    return Ledger(tmp_path, [*doses, *arms, *measures])


def test_arms_wait_for_each_other_and_go_together(tmp_path: Path, submitted: list[list[str]]) -> None:
    ledger, running = study(tmp_path), []
    steps = {step.name: step for step in ledger.steps}

    def start(workers: int) -> list[str]:
        started = runner._next(ledger, running, workers)
        for step in started:
            ledger.set(step.name, "running")
            running.append(step)
        return [step.name for step in started]

    def done(*names: str) -> None:
        for name in names:
            ledger.done(name, tmp_path / name)
            running.remove(steps[name])

    assert start(workers=2) == ["mixture-0", "mixture-1"]
    done("mixture-0", "mixture-1")
    assert start(workers=2) == ["mixture-2"]  # two arms could begin; they wait for the third
    done("mixture-2")
    assert start(workers=2) == ["arm-0", "arm-1", "arm-2"]  # more than there are workers
    done("arm-1")
    assert start(workers=1) == ["measure-1"]  # the arms that train elsewhere leave the worker free
    assert [names for names in submitted if names] == [["arm-0", "arm-1", "arm-2"]]


def test_an_arm_whose_mixture_failed_keeps_nobody_waiting(tmp_path: Path, submitted: list[list[str]]) -> None:
    ledger = study(tmp_path)
    ledger.done("mixture-0", tmp_path)
    ledger.done("mixture-1", tmp_path)
    ledger.set("mixture-2", "failed", "a reason")
    ledger.skip_orphans()
    assert [step.name for step in runner._next(ledger, [], 2)] == ["arm-0", "arm-1"]


def test_steps_that_run_here_never_outnumber_the_workers(tmp_path: Path, submitted: list[Any]) -> None:
    ledger = study(tmp_path)
    first = runner._next(ledger, [], 2)
    for step in first:
        ledger.set(step.name, "running")
    assert runner._next(ledger, first, 2) == [] == submitted


@pytest.fixture
def all_away(submitted: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """As `submitted`, but measurements are made elsewhere too."""

    def submit(todo: list[tuple[str, Path]], _logs: Path) -> None:
        submitted.append([spec for spec, _ in todo])

    stages = {
        kind: SimpleNamespace(kind=kind, elsewhere=lambda spec: True, submit=submit)
        for kind in ("pretrain", "analysis")
    }
    here = SimpleNamespace(kind="mixture", elsewhere=None, submit=None)
    monkeypatch.setattr(runner, "stage_of", lambda kind: stages.get(kind, here))
    return submitted


def test_what_waits_for_other_machines_holds_nobody_up(tmp_path: Path, all_away: list[list[str]]) -> None:
    ledger = study(tmp_path)
    steps = {step.name: step for step in ledger.steps}
    for dose in range(2):
        ledger.done(f"mixture-{dose}", tmp_path)
    assert [step.name for step in runner._next(ledger, [], 1)] == ["mixture-2"]  # the arms wait for it, to go together
    ledger.done("mixture-2", tmp_path)
    arms = runner._next(ledger, [], 1)
    for arm in arms:
        ledger.set(arm.name, "running")
    ledger.done("arm-1", tmp_path)
    running = [steps["arm-0"], steps["arm-2"]]
    assert [step.name for step in runner._next(ledger, running, 1)] == ["measure-1"]  # though arms are being trained
    assert [names for names in all_away if names] == [["arm-0", "arm-1", "arm-2"], ["measure-1"]]


def test_all_are_handed_over_once_though_only_some_are_waited_for(
    tmp_path: Path, all_away: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "WAITED_FOR", 2)
    ledger = study(tmp_path)
    for dose in range(3):
        ledger.done(f"mixture-{dose}", tmp_path)
    first = runner._next(ledger, [], 1)
    assert [step.name for step in first] == ["arm-0", "arm-1"]
    for step in first:
        ledger.set(step.name, "running")
    assert runner._next(ledger, first, 1) == []
    ledger.done("arm-0", tmp_path)
    assert [step.name for step in runner._next(ledger, first[1:], 1)] == ["arm-2"]
    assert [names for names in all_away if names] == [["arm-0", "arm-1", "arm-2"], ["measure-0"]]


def test_what_a_cluster_refuses_has_failed_and_all_else_goes_on(
    tmp_path: Path, all_away: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise UnavailableError("launcher: sbatch refused it")

    monkeypatch.setattr(runner.stage_of("pretrain"), "submit", refuse)
    ledger = study(tmp_path)
    for dose in range(3):
        ledger.done(f"mixture-{dose}", tmp_path)
    ledger.done("arm-0", tmp_path)
    assert [step.name for step in runner._next(ledger, [], 1)] == ["measure-0"]
    assert [(step.name, why) for step, why in ledger.having("failed")] == [
        ("arm-1", "launcher: sbatch refused it"),
        ("arm-2", "launcher: sbatch refused it"),
    ]
    assert [step.name for step, _ in ledger.having("skipped")] == ["measure-1", "measure-2"]
