"""Slurm, played by four small programs: sbatch runs a script, task after task, before it returns.

As Slurm's own page on job arrays has it, every task of an array is a job with a number of its own, and one of them, the
last here, bears the number of the array. `scontrol requeue` of that number requeues every task. Tasks
that FAKE_LOST names never start.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

_PROGRAMS = {
    "sbatch": """
script="${@: -1}"; cp "$script" "$FAKE_SLURM/script"
echo "$@" >> "$FAKE_SLURM/submitted"
last=$(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\).*/\\1/p' "$script")
export SLURM_JOB_ID SLURM_JOB_NODELIST=here SLURM_NTASKS SLURM_RESTART_COUNT
per_node=$(sed -n 's/^#SBATCH --ntasks-per-node=//p' "$script")
nodes=$(sed -n 's/^#SBATCH --nodes=//p' "$script")
SLURM_NTASKS=$((${per_node:-1} * ${nodes:-1}))
echo "${last:-0}" > "$FAKE_SLURM/last"
seq 0 "${last:-0}" > "$FAKE_SLURM/queue"
: > "$FAKE_SLURM/started"
while read -r task < "$FAKE_SLURM/queue"; do
    sed -i 1d "$FAKE_SLURM/queue"
    SLURM_RESTART_COUNT=$(grep -cx "$task" "$FAKE_SLURM/started")
    echo "$task" >> "$FAKE_SLURM/started"
    SLURM_JOB_ID=$((task == ${last:-0} ? 4242 : 4243 + task))
    [ -n "$last" ] && export SLURM_ARRAY_JOB_ID=4242 SLURM_ARRAY_TASK_ID=$task
    [[ " ${FAKE_LOST:-} " == *" $task "* ]] || bash "$script" >> "$FAKE_SLURM/log" 2>&1
done
[ "$1" = --parsable ] && echo "4242;here" || echo "Submitted batch job 4242"
""",
    "srun": """
while [[ $1 == -* ]]; do echo "$1" >> "$FAKE_SLURM/srun"; [ "$1" = -n ] && shift; shift; done
for rank in $(seq 0 $((${SLURM_NTASKS:-1} - 1))); do
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
[ "$1" = requeue ] || { echo 127.0.0.1; echo elsewhere; exit; }
echo "$2" >> "$FAKE_SLURM/requeued"
case "$2" in
    4242_*) tasks=${2#4242_} ;;
    4242) tasks=$(seq 0 "$(cat "$FAKE_SLURM/last")") ;;
    *) tasks=$(($2 - 4243)) ;;
esac
for task in $tasks; do
    grep -qx "$task" "$FAKE_SLURM/queue" || echo "$task" >> "$FAKE_SLURM/queue"
done
""",
}


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put the programs on the path; `folder` then tells what was asked of them."""
    folder.mkdir()
    for name, text in _PROGRAMS.items():
        (folder / name).write_text("#!/bin/bash" + text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", os.pathsep.join([str(folder), str(Path(sys.executable).parent), os.environ["PATH"]]))
    monkeypatch.setenv("FAKE_SLURM", str(folder))
    return folder
