"""Under Slurm, which is played by four small programs: arrays are submitted, waited for, and told about.

Covers infra.jobs.slurm and infra.jobs.slurm_cli.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.errors import RanksFailed, UnavailableError
from infra.jobs.execute import execute
from infra.jobs.slurm import ARRAY, SlurmWorkers
from infra.jobs.spec import SlurmArraySpec
from infra.stages.stage import Workspace
from tests.helpers import ROOT, fake_slurm
from tests.helpers.pipeline_steps import Trip, expected, job_of, written


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Slurm's programs; the folder says what was asked of them."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return fake_slurm.install(tmp_path / "slurm", monkeypatch)


def test_ranks_run_as_an_array_and_failures_come_back(
    tmp_path: Path, slurm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_LOST", "2")  # Slurm kills this one before it can say a word
    options = SlurmArraySpec(partition="cpu", time="01:00:00", sbatch_args={"account": "words"}, mem_per_cpu_gb=3)
    with SlurmWorkers(options, poll=0.01) as workers, pytest.raises(RanksFailed) as caught:
        execute(job_of(tmp_path, 3, Trip(1, "data")), Workspace(tmp_path, tmp_path, quiet=True), workers)
    broken, lost = caught.value.failures
    assert (broken.rank, broken.where) == (1, "made.jsonl:2")
    assert lost.rank == 2 and "ended without a word" in lost.reason
    assert written(tmp_path) == expected(0)
    script = (slurm / "script").read_text()
    for line in ("--partition=cpu", "--time=01:00:00", "--account=words", "--mem-per-cpu=3G", "--array=0-2"):
        assert f"#SBATCH {line}\n" in script


def test_a_task_that_is_told_to_leave_goes_back_into_the_queue_alone(tmp_path: Path, slurm: Path) -> None:
    """The last task, whose own job number is that of the whole array."""
    once = tmp_path / "told"
    with SlurmWorkers(SlurmArraySpec(partition="cpu"), poll=0.01) as workers:
        execute(job_of(tmp_path, 3, Trip(2, "leave", once)), Workspace(tmp_path, tmp_path, quiet=True), workers)
    assert (slurm / "started").read_text().split() == ["0", "1", "2", "2"]
    assert written(tmp_path) == expected(0, 1, 2)


def test_an_array_left_by_a_killed_command_is_waited_for_and_not_sent_again(tmp_path: Path, slurm: Path) -> None:
    job = job_of(tmp_path, 1)
    job.logging_dir.mkdir()
    (job.logging_dir / ARRAY).write_text("4242")
    (slurm / "sbatch").write_text("#!/bin/bash\nexit 1\n")
    (job.logging_dir / "completions").mkdir()
    (slurm / "queued").write_text(f"touch '{job.logging_dir}/completions/00000'")
    with SlurmWorkers(SlurmArraySpec(partition="cpu"), poll=0.01) as workers:
        execute(job, Workspace(tmp_path, tmp_path, quiet=True), workers)
    assert job.unfinished() == []


def test_without_slurm_the_message_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UnavailableError, match="no sbatch on this machine"):
        SlurmWorkers(SlurmArraySpec(partition="cpu")).__enter__()
