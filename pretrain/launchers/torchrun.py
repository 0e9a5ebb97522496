"""The launcher `torchrun`: a process per GPU of this machine, or several on its CPU."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

from infra.doctor import gpu_names
from pretrain.launchers.base_processes import ProcessLauncher
from pretrain.launchers.options import TorchrunSpec
from pretrain.processes.environment import COMMON
from pretrain.processes.work import Work

GRACE = 600
"""Seconds that the processes have to save a checkpoint when they are told to stop."""


class Torchrun(ProcessLauncher):
    """Runs torchrun as a child; when the command ends, however it ends, the work stops."""

    options = TorchrunSpec

    @property
    def tries(self) -> int:
        """One more than `restarts`."""
        return self.spec.restarts + 1

    def ranks(self) -> int:
        """As declared, else one per GPU."""
        return self.spec.processes or len(gpu_names()) or 1

    @contextlib.contextmanager
    def started(self, work: Work, ranks: int) -> Iterator[None]:
        """Start the child in a session of its own, so that Ctrl-C reaches it through here and lets it save."""
        options = ["--standalone", f"--nproc-per-node={ranks}", f"--shutdown-timeout={GRACE}"]
        command = [sys.executable, "-m", "pretrain.processes.agent", str(os.getpid()), str(work.folder), *options]
        with work.log.open("ab") as log:
            self._child = subprocess.Popen(  # noqa: S603
                command,
                env={**COMMON, **os.environ},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            yield
        finally:
            self._child.terminate()  # nothing where it has ended by itself
            self._child.wait()

    def running(self) -> bool:
        """Whether the child is alive."""
        return self._child.poll() is None
