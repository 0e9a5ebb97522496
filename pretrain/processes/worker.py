"""One process of launched work, whatever its kind: `python -m pretrain.processes.worker FOLDER`, started by torchrun,
srun or a Ray actor.

torchrun and the Ray launcher say in the environment which rank this is; under srun Slurm's own variables do.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from pathlib import Path

from infra.artifacts.artifact import STORE
from infra.atomic import remove_temporaries
from infra.errors import HormesisError
from infra.stages.stage import Workspace, earlier_notes, is_leader
from pretrain.processes.work import UNEXPECTED, UNFINISHED, Work

_SLURM = {"RANK": "SLURM_PROCID", "LOCAL_RANK": "SLURM_LOCALID", "WORLD_SIZE": "SLURM_NTASKS"}


def main() -> None:
    """Work in the folder that the command line names; the exit code says how it ended."""
    ranks_from_slurm()
    stop_with_parent(os.getppid())
    sys.exit(work_in(Path(sys.argv[1])))


def ranks_from_slurm() -> None:
    """Take rank and number of ranks from Slurm where nobody else has said them."""
    if "RANK" not in os.environ and "SLURM_PROCID" in os.environ:
        os.environ.update({name: os.environ[source] for name, source in _SLURM.items()})


def work_in(folder: Path) -> int:
    """Work as one rank of several; returns the exit code: 0 done, UNFINISHED, 1 failed (and the folder says why).

    Raises JobError where the folder is not to be seen.
    """
    work, rank = Work(folder), int(os.environ["RANK"])
    assignment = work.assignment()  # an error here cannot be reported: this node does not see the folder
    if os.environ.get("WORLD_SIZE") == "1":
        forget_ranks()
    try:
        if is_leader():
            remove_temporaries(folder)
        workspace = Workspace(folder, folder.parent / STORE, quiet=not is_leader(), _notes=earlier_notes(folder))
        counts = assignment.do(workspace)
    except HormesisError as error:
        print(f"rank {rank}: {error}", file=sys.stderr, flush=True)
        if error.exit_code != UNFINISHED:
            work.report(rank, str(error))
        return error.exit_code
    except Exception as error:
        traceback.print_exc()
        work.report(rank, f"{UNEXPECTED}{type(error).__name__}: {error} (traceback in the log)")
        return 1
    if is_leader():
        work.finish(counts)
    return 0


def forget_ranks() -> None:
    """Make a process that is alone no rank of anything: accelerate would open a process group for it."""
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        os.environ.pop(name, None)


def stop_with_parent(parent: int) -> None:
    """Send this process SIGTERM when the one that started it is gone, however it went: nobody works on unwatched."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    main()
