"""The passes of a curation: its steps in order, cut wherever one of them must know the whole corpus first.

A pass reads every shard, leads it through its steps and stores or writes it. Between two passes come the jobs of the
step that needs them. All jobs run through `execution`, which skips what is done: a killed run goes on where it was.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from curation.pipeline.split import cut_folder, left_out, pieces_of, shards_of
from curation.shards.reading import ReadSources, ReadStored, packed
from curation.shards.removed import Removals, Removed
from curation.shards.shard import Shard
from curation.shards.shards import StoreRuns, StoreShard, Within, WriteShard, pass_folder, remove_unfinished
from curation.shards.spill import SUFFIX
from curation.sources.footers import row_counts
from curation.spec import CurationSpec
from curation.steps import Context, Step, make_step
from infra.errors import InputError
from infra.files.open_files import require
from infra.jobs.base import Job, ReadOnly, Workers
from infra.jobs.execute import execute
from infra.stages.stage import Workspace

if TYPE_CHECKING:
    from datatrove.pipeline.base import PipelineStep


_LABEL = 60  # characters of a job's name that list its steps


@dataclass(frozen=True)
class Pass:
    """One way through all shards. The first step may need jobs of its own before it."""

    number: int
    steps: tuple[Step, ...]
    last: bool


class Curation:
    """A curation at work below `work`: its steps, its passes, and the context of each step."""

    def __init__(self, spec: CurationSpec, work: Path) -> None:
        self.spec, self.work = spec, work
        self.steps = tuple(make_step(step_spec) for step_spec in spec.steps)
        self.passes = _cut(self.steps)
        self._packed_files: ReadOnly[bytes] = ReadOnly()
        self.shards: ReadOnly[Shard] = ReadOnly()
        """Known when the big files have been cut; without their parts, which only the first pass needs."""

    def check(self) -> None:
        """Raise a UserError for what cannot work: missing weights, equal names, scores that nobody gives."""
        for step in self.steps:
            step.check()
        for corpus in self.spec.corpora:
            self.attributes(corpus)
            self.tags(corpus)
            for number, step in enumerate(self.steps):
                if self.applies(step, corpus):
                    step.check_scores(self.attributes(corpus, number), corpus)

    def applies(self, step: Step, corpus: str) -> bool:
        """Whether a step works on a corpus."""
        return step.spec.corpora is None or corpus in step.spec.corpora

    def attributes(self, corpus: str, before: int | None = None) -> tuple[str, ...]:
        """Scores that a corpus's documents have after all steps, or when they come to step `before`."""
        steps = [step for step in self.steps[:before] if self.applies(step, corpus)]
        brought = ("the sources' attributes", self.spec.corpora[corpus].scores)
        return _distinct([brought, *((step.describe(), step.attributes()) for step in steps)], "scores")

    def tags(self, corpus: str, before: int | None = None) -> tuple[str, ...]:
        """Attributes of a corpus's spans after all steps, or when it comes to step `before`; empty where it is not
        tagged.
        """
        steps = [step for step in self.steps[:before] if self.applies(step, corpus)]
        brought = ("the sources' attributes", self.spec.corpora[corpus].spans)
        return _distinct([brought, *((step.describe(), step.tags()) for step in steps)], "spans")

    def context(self, number: int, stored: int, removals: Removals) -> Context:
        """Where step `number` works, when its documents were stored by pass `stored`."""
        step = self.steps[number]
        name = f"{number}-{step.spec.step}"
        ranks = [rank for rank, shard in enumerate(self.shards) if self.applies(step, shard.corpus)]
        shards = _stored_by(stored, self.shards)
        known = {corpus: self.attributes(corpus, number) for corpus in self.spec.corpora}
        tagged = frozenset(corpus for corpus in self.spec.corpora if self.tags(corpus, number))
        return Context(name, self.work / "steps" / name, self.work, ReadOnly(shards[rank] for rank in ranks),
                       ReadOnly(ranks), Removed(removals, name), len(ranks) == len(shards), known, tagged)  # fmt: skip

    def run(self, workspace: Workspace, workers: Workers) -> None:
        """Run every job that is not done yet. Raises RanksFailed."""
        for folder in (workspace.path / "corpora", self.work):
            remove_unfinished(folder)
        self._cut_pieces(workspace, workers)
        for pass_ in self.passes:
            self._run(pass_, workspace, workers)

    def _cut_pieces(self, workspace: Workspace, workers: Workers) -> None:
        """Make shards of what is big; then all shards are known."""
        pieces = pieces_of(self.spec, lambda files: row_counts(files, self.work / "rows.json", workspace.progress))
        for note in left_out(self.spec):
            workspace.note(note)
        self._check_open_files([piece.shard for piece in pieces], workspace)  # before anything is read
        if cut_first := [piece.shard for piece in pieces if piece.cut]:
            big, packed_files = _without_files(cut_first), packed(cut_first)
            folder = cut_folder(self.work)
            removals = Removals(big, folder / "removed")
            read = ReadSources(big, packed_files, self.work, folder / "quarantine", removals, self._keeps_damaged)
            cut = StoreRuns(big, folder / "stored", folder / "records", removals, self.spec.shard_documents)
            labels = tuple(shard.label for shard in big)
            execute(Job("read and cut", (read, cut), labels, folder / "jobs"), workspace, workers)
        shards = shards_of(pieces, self.work)
        self.shards, self._packed_files = _without_files(shards), packed(shards)
        self._check_open_files(self.shards, workspace)

    def _check_open_files(self, shards: Sequence[Shard], workspace: Workspace) -> None:
        """Raise the limit of open files as the steps need it. Raises InputError. Workers elsewhere have limits of their
        own, which they look at when their rank begins.
        """
        if workspace.ray is not None or self.spec.execution.slurm is not None:
            return
        counts = Counter(shard.corpus for shard in shards)
        for step in self.steps:
            known = {corpus: count for corpus, count in counts.items() if self.applies(step, corpus)}
            require(step.open_files(known), f"the step {step.spec.step} ({sum(known.values()):,} shards)")

    @property
    def _keeps_damaged(self) -> bool:
        return self.spec.damaged_files == "keep"

    def _run(self, pass_: Pass, workspace: Workspace, workers: Workers) -> None:
        """The jobs of a pass's first step, then the pass, then its input is no longer needed."""
        folder = pass_folder(self.work, pass_.number)
        removals = Removals(self.shards, folder / "removed")
        first = sum(len(earlier.steps) for earlier in self.passes[: pass_.number])
        contexts = [self.context(first + index, pass_.number - 1, removals) for index in range(len(pass_.steps))]
        for step, context in zip(pass_.steps, contexts, strict=True):
            context.folder.mkdir(parents=True, exist_ok=True)
            for job in step.phases(context) if context.shards else []:
                execute(job, workspace, workers)
        pipeline = [self._read(pass_, removals)]
        for step, context in zip(pass_.steps, contexts, strict=True):
            if context.shards:
                steps = step.pipeline(context)
                pipeline += steps if context.whole else [Within(tuple(steps), context.ranks)]
        pipeline.append(self._write(pass_, removals, workspace.path))
        labels = tuple(shard.label for shard in self.shards)
        execute(Job(_name(pass_), tuple(pipeline), labels, folder / "jobs"), workspace, workers)
        before = pass_folder(self.work, pass_.number - 1) if pass_.number > 0 else cut_folder(self.work)
        shutil.rmtree(before / "stored", ignore_errors=True)

    def _read(self, pass_: Pass, removals: Removals) -> PipelineStep:
        if pass_.number == 0:
            quarantine = self.work / "quarantine"
            return ReadSources(self.shards, self._packed_files, self.work, quarantine, removals, self._keeps_damaged)
        return ReadStored(ReadOnly(_stored_by(pass_.number - 1, self.shards)), self.work, removals)

    def _write(self, pass_: Pass, removals: Removals, target: Path) -> PipelineStep:
        folder = pass_folder(self.work, pass_.number)
        if pass_.last:
            return WriteShard(self.shards, target / "corpora", folder / "records", removals)
        return StoreShard(self.shards, folder / "stored", folder / "records", removals)


def _without_files(shards: Sequence[Shard]) -> ReadOnly[Shard]:
    return ReadOnly(replace(shard, input_files=()) for shard in shards)


def _stored_by(number: int, shards: Sequence[Shard]) -> list[Shard]:
    """The shards as a pass has stored them."""
    return [replace(shard, stored=f"passes/{number}/stored/{shard.stem}{SUFFIX}") for shard in shards]


def _cut(steps: tuple[Step, ...]) -> tuple[Pass, ...]:
    """A new pass begins with every step that reads the corpus; the first pass may have no step at all."""
    groups: list[list[Step]] = [[]]
    for step in steps:
        if step.reads_corpus:
            groups.append([])
        groups[-1].append(step)
    return tuple(Pass(number, tuple(group), number == len(groups) - 1) for number, group in enumerate(groups))


def _name(pass_: Pass) -> str:
    names = ", ".join(step.spec.step for step in pass_.steps) or "read"
    return names if len(names) <= _LABEL else names[: _LABEL - 1] + "…"


def _distinct(contributions: list[tuple[str, tuple[str, ...]]], what: str) -> tuple[str, ...]:
    """All names in order. Raises InputError where two steps give the same one."""
    owner: dict[str, str] = {}
    for giver, names in contributions:
        for name in names:
            if name in owner:
                raise InputError(f'steps: "{owner[name]}" and "{giver}" both give {what} called "{name}"; '
                                 "give one of them a `prefix:`, which stands before its names")  # fmt: skip
            owner[name] = giver
    return tuple(owner)
