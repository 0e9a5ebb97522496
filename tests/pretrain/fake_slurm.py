"""Slurm, played by four small programs: sbatch runs a script, task after task, before it returns."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_PROGRAMS = {
    "sbatch": """
script="${@: -1}"; cp "$script" "$FAKE_SLURM/script"
echo "$@" >> "$FAKE_SLURM/submitted"
last=$(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\).*/\\1/p' "$script")
export SLURM_JOB_ID=4242 SLURM_JOB_NODELIST=here SLURM_NTASKS
SLURM_NTASKS=$(sed -n 's/^#SBATCH --ntasks-per-node=//p' "$script")
for task in $(seq 0 "${last:-0}"); do
    SLURM_ARRAY_TASK_ID=$task bash "$script" >> "$FAKE_SLURM/log" 2>&1
done
echo "4242;here"
""",
    "srun": """
while [[ $1 == --* ]]; do echo "$1" >> "$FAKE_SLURM/srun"; shift; done
for rank in $(seq 0 $((SLURM_NTASKS - 1))); do
    SLURM_PROCID=$rank SLURM_LOCALID=$rank "$@" &
done
status=0
for job in $(jobs -p); do wait "$job" || status=$?; done
exit $status
""",
    "squeue": """
[ -e "$FAKE_SLURM/queued" ] && { bash "$FAKE_SLURM/queued"; rm "$FAKE_SLURM/queued"; echo 4242; exit; }
echo "slurm_load_jobs error: Invalid job id specified" >&2; exit 1
""",
    "scontrol": """
if [ "$1" = requeue ]; then echo "$2" >> "$FAKE_SLURM/requeued"; else echo 127.0.0.1; echo elsewhere; fi
""",
}


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put the programs on the path; `folder` then tells what was asked of them."""
    folder.mkdir()
    for name, text in _PROGRAMS.items():
        (folder / name).write_text("#!/bin/bash" + text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", os.pathsep.join([str(folder), os.environ["PATH"]]))
    monkeypatch.setenv("FAKE_SLURM", str(folder))
    return folder
