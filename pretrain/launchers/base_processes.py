"""What the launchers that start processes have in common: hand over, watch, start anew what died, take back."""

from __future__ import annotations

import contextlib
import shutil
import time
from abc import abstractmethod
from typing import Any

from infra.artifacts.records import JsonObject
from infra.errors import JobError, RanksFailed
from infra.stages.stage import Workspace, earlier_notes
from pretrain.launchers.base import LaunchedWork, Launcher
from pretrain.processes.follow import Follower
from pretrain.processes.work import Work


class ProcessLauncher(Launcher):
    """Starts processes that work in the work folder, and waits for them."""

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
        """How many processes."""
        assert self.spec.ranks is not None
        return self.spec.ranks

    def run(self, work: LaunchedWork, spec: Any, workspace: Workspace) -> JsonObject:
        """Have other processes do it. Raises RanksFailed with what they report, JobError when they say nothing."""
        handed, ranks = Work(workspace.path), self.ranks()
        work.check([spec], False)  # the stage has compared every byte, before any GPU is taken
        handed.write(work.assignment(spec))
        for number in range(self.tries):
            if handed.counts() is not None:  # since just now, or since an earlier command, which was killed
                break
            if number:
                workspace.note(f"{spec.launcher.name}: the processes died; started again where they were last saved")
            self._once(work.kind, handed, ranks, workspace)
        if (counts := handed.counts()) is None:
            raise JobError(self._silence(handed))
        shutil.rmtree(handed.launch)
        return counts

    def _once(self, kind: str, work: Work, ranks: int, workspace: Workspace) -> None:
        work.forget_failures()
        with self.started(work, ranks), contextlib.ExitStack() as bars:
            follower = Follower(work.folder, workspace.quiet, bars)
            while self.running():
                follower.look()
                time.sleep(self.poll)
        for message in earlier_notes(work.folder):
            workspace.note(message)
        if failures := work.failures():
            raise RanksFailed(kind, ranks, failures)

    def _silence(self, work: Work) -> str:
        return (
            "the processes ended before the work did, and without a word: killed, out of memory, or told to stop "
            f"(log: {work.log}); run the same command again to go on where they were last saved"
        )
