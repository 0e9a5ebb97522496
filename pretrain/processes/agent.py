"""torchrun as a child of `hormesis run`: it stops, gently, when the command is gone, and holds the folder meanwhile.

python -m pretrain.processes.agent PARENT FOLDER TORCHRUN-OPTION…
"""

from __future__ import annotations

import sys
from pathlib import Path

from infra.stages.lease import leased
from pretrain.processes.work import Work
from pretrain.processes.worker import stop_with_parent


def main() -> None:
    """Wait until no earlier agent is at work in the folder, then run one worker per process that the options name."""
    stop_with_parent(int(sys.argv[1]))
    folder, options = Path(sys.argv[2]), sys.argv[3:]
    from torch.distributed.run import main as torchrun

    with leased(Work(folder).launch / "agent"):
        torchrun([*options, "--module", "pretrain.processes.worker", str(folder)])


if __name__ == "__main__":
    main()
