"""What the two deduplications share: they see a whole corpus, or all of them, and the first document stays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from curation.steps.base import Context, Step
from infra.jobs.base import Job

if TYPE_CHECKING:
    from datatrove.pipeline.base import PipelineStep


class DedupStep(Step):
    """datatrove's stages as jobs, then its filter in the main pass."""

    reads_corpus = True
    files_of_a_shard: ClassVar[int]
    """Files of every shard that one rank of a stage has open at once, at most."""

    def stages(self, context: Context) -> list[Job]:
        """The jobs for one group of shards, whose documents are compared with each other."""
        raise NotImplementedError

    def removal(self, context: Context) -> PipelineStep:
        """datatrove's filter for one group of shards."""
        raise NotImplementedError

    def phases(self, context: Context) -> list[Job]:
        """The stages of every group."""
        return [job for group in self._groups(context) for job in self.stages(group)]

    def pipeline(self, context: Context) -> list[PipelineStep]:
        """The filter of every group, for its own shards."""
        return [group.within(self.removal(group)) for group in self._groups(context)]

    def _groups(self, context: Context) -> list[Context]:
        return [context.together()] if self.spec.across_corpora else context.by_corpus()

    def open_files(self, shards: dict[str, int]) -> int:
        """Those of the largest group."""
        group = sum(shards.values()) if self.spec.across_corpora else max(shards.values(), default=0)
        return self.files_of_a_shard * group

    def describe(self) -> str:
        """`minhash` or `minhash, across corpora`."""
        return f"{self.spec.step}{', across corpora' if self.spec.across_corpora else ''}"


def folder_of(context: Context, name: str) -> str:
    """A folder for what a stage leaves; made, as datatrove's steps list it even where nothing was written."""
    folder: Any = context.folder / name
    folder.mkdir(parents=True, exist_ok=True)
    return str(folder)
