"""Each worker process of a study has a GPU of its own (`analysis.study.devices`, `analysis.study.pool`); no GPU is
needed to plan that.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from analysis.study import pool
from analysis.study.devices import devices_for, visible_gpus
from infra.config.spec import Spec
from pretrain.launchers.options import LocalSpec, TorchrunSpec


class Training(Spec):
    """As much of a specification as the choice looks at."""

    launcher: LocalSpec | TorchrunSpec = LocalSpec()


@pytest.fixture(autouse=True)
def ask_anew() -> None:
    visible_gpus.cache_clear()


def test_workers_take_the_gpus_in_turn() -> None:
    seen = [devices_for("analysis", Spec(), worker, ("4", "7")) for worker in range(3)]
    assert seen == [{"CUDA_VISIBLE_DEVICES": "4"}, {"CUDA_VISIBLE_DEVICES": "7"}, {"CUDA_VISIBLE_DEVICES": "4"}]


def test_what_starts_processes_of_its_own_sees_all_of_them() -> None:
    assert devices_for("curation", Spec(), 1, ("0", "1")) == {}
    assert devices_for("pretrain", Training(launcher=TorchrunSpec(processes=2)), 1, ("0", "1")) == {}
    assert devices_for("pretrain", Training(), 1, ("0", "1")) == {"CUDA_VISIBLE_DEVICES": "1"}
    assert devices_for("analysis", Spec(), 1, ()) == {}


def test_gpus_are_those_that_the_command_may_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'GPU 0: one (UUID: a)'\necho 'GPU 1: two (UUID: b)'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert visible_gpus() == ("0", "1")
    visible_gpus.cache_clear()
    tool.unlink()
    assert visible_gpus() == ()
    for named, gpus in (("3, 5", ("3", "5")), ("", ())):
        visible_gpus.cache_clear()
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
        assert visible_gpus() == gpus


def test_a_step_is_done_with_its_workers_gpu_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Second worker of a machine with three GPUs; afterwards its environment is as it was."""
    seen: list[str | None] = []

    def run_stage(*_: Any, **__: Any) -> SimpleNamespace:
        seen.append(os.environ.get("CUDA_VISIBLE_DEVICES"))
        return SimpleNamespace(path=tmp_path)

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(pool, "run_stage", run_stage)
    monkeypatch.setattr(pool, "worker_number", lambda: 1)
    task = pool.Task("a", "analysis", Spec(), tmp_path / "a", tmp_path, tmp_path / "log", 1, gpus=("0", "1", "2"))
    assert pool.perform(task).error is None
    assert seen == ["1"] and "CUDA_VISIBLE_DEVICES" not in os.environ
