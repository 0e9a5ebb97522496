"""The step `exact_dedup`: datatrove's exact deduplication, on a 64-bit hash of the text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datatrove.pipeline.dedup import ExactDedupConfig, ExactDedupFilter, ExactDedupSignature, ExactFindDedups

from curation.shards.shards import RANK, Ranked
from curation.steps.base import Context
from curation.steps.dedup.base_dedup import DedupStep, folder_of
from curation.steps.options import ExactDedupSpec
from infra.errors import InputError
from infra.jobs.base import Job

if TYPE_CHECKING:
    from datatrove.data import Document
    from datatrove.pipeline.base import PipelineStep


_MAX_SHARDS = 65_534  # datatrove keeps a document's priority in 16 bits, and refuses 0 (datatrove issue 337)


class ExactDedup(DedupStep):
    """datatrove's three stages; the shard's number, as priority, decides which of two equal documents stays."""

    options = ExactDedupSpec
    files_of_a_shard = 3  # its hashes are read, its duplicates and their counts written
    spec: ExactDedupSpec

    def stages(self, context: Context) -> list[Job]:
        """Hash every document; find the hashes that occur twice."""

        if len(context.shards) > _MAX_SHARDS:
            raise InputError(f"exact_dedup: {len(context.shards)} shards, and datatrove can order {_MAX_SHARDS}; "
                             "raise `shard_documents`, or use the step minhash")  # fmt: skip
        workers = self.spec.finder_workers
        hashes, duplicates = folder_of(context, "hashes"), folder_of(context, "found")
        for worker in range(workers):  # a worker without a hash has no folder else, and would not be found
            folder_of(context, f"hashes/{worker:04d}")
        sign = ExactDedupSignature(hashes, _config(), workers)
        find = ExactFindDedups(hashes, duplicates, _config(), lines_to_buffer=1000)
        labels = tuple(f"{context.name}: hashes {worker + 1} of {workers}" for worker in range(workers))
        return [
            context.job("hash", context.documents(), Ranked(), sign),
            context.job("find", find, labels=labels, open_files=self.files_of_a_shard * len(context.shards)),
        ]

    def removal(self, context: Context) -> PipelineStep:
        """Remove what was found."""
        return ExactDedupFilter(folder_of(context, "found"), _config(), context.removed)


def _config() -> ExactDedupConfig:
    return ExactDedupConfig(content_getter=_text, document_priority=_priority)


def _text(document: Document) -> str:
    return document.text


def _priority(document: Document) -> int:
    """The earlier the shard, the higher; datatrove keeps the document of the highest priority, and within a shard the
    first.
    """
    return _MAX_SHARDS + 1 - document.metadata[RANK]
