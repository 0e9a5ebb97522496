"""What the launchers that start processes have in common: hand over, watch, start anew what died, take back."""

from __future__ import annotations

import contextlib
import shutil
import time
from abc import abstractmethod

from infra.artifacts.records import JsonObject
from infra.errors import JobError, RanksFailed
from infra.stages.stage import Workspace, earlier_notes
from pretrain.launchers.base import Launcher
from pretrain.processes.follow import Follower
from pretrain.processes.work import Work
from pretrain.spec import PretrainSpec
from pretrain.start.inputs import open_inputs


class ProcessLauncher(Launcher):
    """Starts processes that train in the work folder, and waits for them."""

    poll: float = 0.5
    """Seconds between two looks at the processes."""

    @abstractmethod
    def started(self, work: Work, ranks: int) -> contextlib.AbstractContextManager[None]:
        """Start the processes, or find those that an earlier command has started; the block's end takes leave."""

    @abstractmethod
    def running(self) -> bool:
        """Whether the processes are at it."""

    @property
    def tries(self) -> int:
        """How often processes that died are started, all in all."""
        return 1

    def ranks(self) -> int:
        """Processes of the training."""
        assert self.spec.ranks is not None
        return self.spec.ranks

    def train(self, spec: PretrainSpec, workspace: Workspace) -> JsonObject:
        """Train in other processes. Raises RanksFailed with what they report, JobError when they end without a word."""
        work, ranks = Work(workspace.path), self.ranks()
        check_inputs(spec, verify=False)  # the stage has compared every byte, before any GPU is taken
        work.write(spec)
        for number in range(self.tries):
            if work.counts() is not None:  # since just now, or since an earlier command, which was killed
                break
            if number:
                workspace.note(f"{spec.launcher.name}: the processes died; started again from the newest checkpoint")
            self._once(work, ranks, workspace)
        if (counts := work.counts()) is None:
            raise JobError(self._silence(work))
        shutil.rmtree(work.launch)
        return counts

    def _once(self, work: Work, ranks: int, workspace: Workspace) -> None:
        work.forget_failures()
        with self.started(work, ranks), contextlib.ExitStack() as bars:
            follower = Follower(work.folder, workspace.quiet, bars)
            while self.running():
                follower.look()
                time.sleep(self.poll)
        for message in earlier_notes(work.folder):
            workspace.note(message)
        if failures := work.failures():
            raise RanksFailed("pretrain", ranks, failures)

    def _silence(self, work: Work) -> str:
        return (
            "the processes ended before the training did, and without a word: killed, out of memory, or told to stop "
            f"(log: {work.log}); run the same command again to go on from the newest checkpoint"
        )


def check_inputs(*specs: PretrainSpec, verify: bool) -> None:
    """Raise what is wrong with the inputs of trainings that are about to start, and not once they had their turn.

    With `verify` every byte of a mixture is compared with its checksum, once for all of them.
    """
    verified: set[str] = set()
    for spec in specs:
        open_inputs(spec, verify=verify and spec.mixture not in verified)
        verified.add(spec.mixture)
