"""What a launcher is: it has work done, here or elsewhere, and comes back when that is done."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

from infra.artifacts.records import JsonObject
from infra.stages.stage import Workspace
from pretrain.launchers.options import LauncherSpec
from pretrain.processes.work import Assignment, Do

Check: TypeAlias = Callable[[Sequence[Any], bool], None]
"""Raises what is wrong with the inputs of specifications; if told so, every byte is compared with its checksum."""


@dataclass(frozen=True)
class LaunchedWork:
    """The work of a stage whose specifications have a `launcher`: `here` does all of it in the process of the command,
    `as_rank` a process's share of it in the processes that a launcher starts, after `check`.
    """

    kind: str
    here: Do
    as_rank: Do
    check: Check

    def assignment(self, spec: Any) -> Assignment:
        """What the processes are told."""
        return Assignment.of(self.kind, self.as_rank, spec)


class Launcher(ABC):
    """Has the work done in a work folder. Whatever it does, the result is the same."""

    options: ClassVar[type[LauncherSpec]]

    def __init__(self, spec: Any) -> None:
        self.spec = spec

    @abstractmethod
    def run(self, work: LaunchedWork, spec: Any, workspace: Workspace) -> JsonObject:
        """Have it done, and return the counts of the artifact. Goes on with what an earlier try has left."""
