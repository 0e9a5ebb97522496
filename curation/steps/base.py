"""What a step of a curation is: documents in, the same documents out, marked or fewer.

Most steps see one document after the other; their work is a few datatrove steps in the main pass (`pipeline`). A step
that must know the whole corpus first (deduplication, a survey) says `reads_corpus` and gives jobs (`phases`), which run
one after the other before the pass that the step is part of; what they find goes into the step's own folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from curation.steps.base_options import StepSpec
from infra.jobs.base import Job, ReadOnly

if TYPE_CHECKING:
    from datatrove.data import Document
    from datatrove.pipeline.base import PipelineStep

    from curation.shards.removed import Removed
    from curation.shards.shard import Shard


@dataclass(frozen=True)
class Context:
    """Where a step works: its own folder, shared by all workers, and the shards that it applies to.

    Rank r of a job of the step, and of its part of the main pass, is about `shards[r]`; they stand in corpus order.
    `ranks[r]` is that shard's rank in the context which this one is a part of. `removed` takes the documents that the
    step removes: it is an exclusion writer to datatrove's filters.
    """

    name: str
    folder: Path
    work: Path
    shards: ReadOnly[Shard]
    ranks: ReadOnly[int]
    removed: Removed
    whole: bool = True
    """Whether the step applies to every shard of the curation."""
    attributes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """By corpus, the scores that its documents have when they come to this step."""
    tagged: frozenset[str] = frozenset()
    """Corpora whose documents have been tagged when they come to this step."""

    def job(
        self, name: str, *pipeline: PipelineStep, labels: tuple[str, ...] | None = None, open_files: int = 0
    ) -> Job:
        """A job of this step, a rank a shard unless `labels` names other ranks. Its name is unique within the step."""
        ranks = labels if labels is not None else tuple(shard.label for shard in self.shards)
        return Job(f"{self.name}: {name}", pipeline, ranks, self.folder / "jobs" / name.replace(" ", "-"), open_files)

    def documents(self) -> PipelineStep:
        """First step of a job: the documents of shard `rank` as they come to this step. Needs `reads_corpus`."""
        from curation.shards.reading import ReadStored

        return ReadStored(self.shards, self.work)

    def by_corpus(self) -> list[Context]:
        """A context for each corpus, with a folder of its own; `within` leads the main pass there."""
        contexts = []
        for corpus in dict.fromkeys(shard.corpus for shard in self.shards):
            ranks = ReadOnly(rank for rank, shard in enumerate(self.shards) if shard.corpus == corpus)
            shards = ReadOnly(self.shards[rank] for rank in ranks)
            known = {corpus: self.attributes.get(corpus, ())}
            contexts.append(Context(f"{self.name} ({corpus})", self.folder / corpus, self.work, shards, ranks,
                                 self.removed, False, known, self.tagged))  # fmt: skip
        return contexts

    def together(self) -> Context:
        """All shards as one group, as `by_corpus` gives groups."""
        return replace(self, ranks=ReadOnly(range(len(self.shards))))

    def within(self, *steps: PipelineStep) -> PipelineStep:
        """One step of the outer context's pass: `steps` for the shards of this context, nothing for the others."""
        from curation.shards.shards import Within

        return Within(steps, self.ranks)


class Step:
    """One item of `steps:`. A subclass lives in a file of its name and sets `options`."""

    options: ClassVar[type[StepSpec]]
    """The YAML section of this step."""
    version: ClassVar[int] = 1
    """Raised when the same settings give another result than before; belongs to the fingerprint from 2 on."""
    reads_corpus: ClassVar[bool] = False
    """Whether `phases` reads documents: then all steps before this one are done, and their result stored, first."""

    def __init__(self, spec: Any) -> None:
        self.spec = spec

    def pipeline(self, context: Context) -> list[PipelineStep]:
        """What the step does in the main pass, as datatrove steps (they are pickled to the workers): `apply`, or
        datatrove's own.
        """
        from curation.shards.shards import Apply

        return [Apply(context.name, partial(self._apply_in, context))]

    def _apply_in(self, context: Context, documents: Iterator[Document], rank: int) -> Iterator[Document]:
        return self.apply(documents, context, rank)

    def apply(self, documents: Iterator[Document], context: Context, rank: int) -> Iterator[Document]:
        """Lead the documents of shard `rank` through the step; what is removed goes to `context.removed.remove`."""
        raise NotImplementedError

    def phases(self, context: Context) -> list[Job]:
        """Jobs to be done, one after the other, before the main pass."""
        return []

    def open_files(self, shards: dict[str, int]) -> int:
        """Files that one process has open at once, at most, given the shards of each corpus that the step works on;
        0 where that does not grow with them.
        """
        return 0

    def identity(self) -> dict[str, Any]:
        """What of the YAML belongs to the fingerprint, and the step's version."""
        return self.spec.identity() | ({"version": self.version} if self.version > 1 else {})

    def inputs(self) -> dict[str, str]:
        """Checksums of the files that the settings name (weights, models, lists), for the fingerprint."""
        return {}

    def check(self) -> None:
        """Raise a UserError now, in the driver, for what would fail in every worker (weights, packages)."""

    def check_scores(self, attributes: tuple[str, ...], corpus: str) -> None:
        """Raise an InputError where the step needs a score that documents of `corpus` do not have when they come."""

    def attributes(self) -> tuple[str, ...]:
        """Scores that every document has after this step, and had not before; asked after `check`."""
        return ()

    def tags(self) -> tuple[str, ...]:
        """Attributes of the spans that this step gives; asked after `check`."""
        return ()

    def report(self, context: Context) -> dict[str, Any]:
        """What the manifest is to say about this step, when all is done: what it used and what it found."""
        return {}

    def describe(self) -> str:
        """The step in a few words, for the plan."""
        return str(self.spec.step)
