"""Slurm as its command-line tools show it: submit a script, ask whether a job is still there, go back in the queue."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from infra.errors import UnavailableError


def require_slurm(key: str) -> None:
    """Raise UnavailableError where jobs cannot be submitted; `key` is the YAML section that asks for it."""
    if missing := [tool for tool in ("sbatch", "squeue") if shutil.which(tool) is None]:
        raise UnavailableError(
            f"{key}: no {missing[0]} on this machine; run where jobs are submitted, or leave the key out"
        )


def submit(script: Path, key: str) -> str:
    """Hand a batch script to Slurm; returns the job's id. Raises UnavailableError when sbatch refuses it."""
    command = ["sbatch", "--parsable", str(script)]
    done = subprocess.run(command, capture_output=True, text=True)  # noqa: S603
    if done.returncode != 0:
        raise UnavailableError(f"{key}: sbatch refused {script}: {done.stderr.strip()}")
    return done.stdout.strip().split(";")[0]  # "4242;cluster" where there are several clusters


def queued(job: str) -> bool:
    """Whether a job, a task of an array (4242_3) or any task of an array (4242) waits or runs.

    squeue no longer knows a job that ended a while ago. A squeue that fails otherwise (the controller is restarted,
    say) tells nothing, and the job counts as there.
    """
    command = ["squeue", "--noheader", "--format=%i", f"--jobs={job}"]
    done = subprocess.run(command, capture_output=True, text=True)  # noqa: S603
    return bool(done.stdout.strip()) if done.returncode == 0 else "Invalid job id" not in done.stderr


def requeue_this_task() -> None:
    """Put the job that this process is part of back into the queue; of an array this task alone.

    SLURM_JOB_ID would not do: that of one task is the number of the array, and stands for every task.
    """
    job = os.environ["SLURM_JOB_ID"]
    if "SLURM_ARRAY_JOB_ID" in os.environ:
        job = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    subprocess.run(["scontrol", "requeue", job], check=False)  # noqa: S603, S607
