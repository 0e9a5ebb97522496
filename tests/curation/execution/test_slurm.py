"""Under Slurm, which is played by three small programs: arrays are submitted, waited for, and told about."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from made_steps import Trip, expected, job_of, written

from curation.execution import execute
from curation.execution.slurm import ARRAY, SlurmWorkers
from curation.execution.spec import SlurmSpec
from infra.errors import RanksFailed, UnavailableError
from infra.stage import Workspace

SBATCH = """#!/bin/bash
script="${@: -1}"; cp "$script" "$FAKE_SLURM/script"
last=$(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\).*/\\1/p' "$script")
for task in $(seq 0 $last); do
    [ "$task" = "$FAKE_LOST" ] || SLURM_ARRAY_TASK_ID=$task RUN_OFFSET=0 bash "$script" >>"$FAKE_SLURM/log" 2>&1
done
echo "Submitted batch job 4242"
"""
SQUEUE = """#!/bin/bash
[ -n "$(ls -A "$FAKE_SLURM/queue" 2>/dev/null)" ] && { rm "$FAKE_SLURM"/queue/*; echo 4242_0; exit; }
echo "slurm_load_jobs error: Invalid job id specified" >&2; exit 1
"""
SRUN = """#!/bin/bash
while [ "$1" != launch_pickled_pipeline ]; do shift; done
exec "$@"
"""


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """sbatch runs every task of an array at once, one after the other; the array is over when it returns."""
    folder = tmp_path / "slurm"
    (folder / "queue").mkdir(parents=True)
    for name, text in (("sbatch", SBATCH), ("squeue", SQUEUE), ("srun", SRUN)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", os.pathsep.join([str(folder), str(Path(sys.executable).parent), os.environ["PATH"]]))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([os.getcwd(), str(Path(__file__).parent)]))
    monkeypatch.setenv("FAKE_SLURM", str(folder))
    return folder


def test_ranks_run_as_an_array_and_failures_come_back(
    tmp_path: Path, slurm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_LOST", "2")  # Slurm kills this one before it can say a word
    options = SlurmSpec(partition="cpu", time="01:00:00", sbatch_args={"account": "words"}, mem_per_cpu_gb=3)
    with SlurmWorkers(options, poll=0.01) as workers, pytest.raises(RanksFailed) as caught:
        execute(job_of(tmp_path, 3, Trip(1, "data")), Workspace(tmp_path, tmp_path, quiet=True), workers)
    broken, lost = caught.value.failures
    assert (broken.rank, broken.where) == (1, "made.jsonl:2")
    assert lost.rank == 2 and "ended without a word" in lost.reason
    assert written(tmp_path) == expected(0)
    script = (slurm / "script").read_text()
    for line in ("--partition=cpu", "--time=01:00:00", "--account=words", "--mem-per-cpu=3G", "--array=0-2"):
        assert f"#SBATCH {line}\n" in script


def test_an_array_left_by_a_killed_command_is_waited_for_and_not_sent_again(tmp_path: Path, slurm: Path) -> None:
    job = job_of(tmp_path, 1)
    job.logging_dir.mkdir()
    (job.logging_dir / ARRAY).write_text("4242")
    (slurm / "queue" / "task").touch()
    (slurm / "sbatch").write_text("#!/bin/bash\nexit 1\n")
    (job.logging_dir / "completions").mkdir()
    (slurm / "squeue").write_text(SQUEUE.replace("echo 4242_0", f"touch {job.logging_dir}/completions/00000; echo x"))
    with SlurmWorkers(SlurmSpec(partition="cpu"), poll=0.01) as workers:
        execute(job, Workspace(tmp_path, tmp_path, quiet=True), workers)
    assert job.unfinished() == []


def test_without_slurm_the_message_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UnavailableError, match="no sbatch on this machine"):
        SlurmWorkers(SlurmSpec(partition="cpu")).__enter__()
