"""A job: one datatrove pipeline over many ranks, each of them the unit of work and of retry; and what runs ranks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from infra.errors import RankFailure
from infra.stages.job_state import unfinished_ranks

if TYPE_CHECKING:
    from datatrove.pipeline.base import PipelineStep

T = TypeVar("T")


@dataclass(frozen=True)
class Job:
    """A pipeline and what each of its ranks reads.

    The steps are pickled to the workers and copied for every rank, so that no rank sees what another one left behind;
    what all ranks only read (the list of shards) goes into a `ReadOnly`, which is not copied. `labels` name for people
    what each rank reads. `logging_dir` holds datatrove's logs, statistics and completion markers, and must lie where
    all workers can write. `open_files` is what a rank has open at once, where that grows with the corpus.
    """

    name: str
    pipeline: tuple[PipelineStep, ...]
    labels: tuple[str, ...]
    logging_dir: Path
    open_files: int = 0

    def unfinished(self) -> list[int]:
        """Ranks without a completion marker, in order."""
        return unfinished_ranks(self.logging_dir, len(self.labels))


class ReadOnly(tuple[T, ...]):
    """A tuple that every rank reads and none changes: copying the steps for a rank leaves it where it is."""

    __slots__ = ()

    def __deepcopy__(self, memo: dict[int, Any]) -> ReadOnly[T]:
        return self


class Workers(Protocol):
    """Processes that run ranks; what is loaded in one (a model) stays loaded from rank to rank and from job to job."""

    def run(self, job: Job, ranks: list[int]) -> Iterator[tuple[int, RankFailure | None]]:
        """Run `ranks`, yielding each as it ends: None when it is done, else why it is not."""
