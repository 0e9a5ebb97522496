"""The step `minhash`: datatrove's MinHash deduplication of documents that are nearly equal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from datatrove.pipeline.dedup import (
    MinhashConfig,
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupFilter,
    MinhashDedupSignature,
)

from curation.shards.shards import Call
from curation.steps.base import Context
from curation.steps.dedup.base_dedup import DedupStep, folder_of
from curation.steps.filters.base_filter import language_known, told
from curation.steps.options import MinhashSpec, NearDuplicatesSpec
from curation.text.word_tokenizer import BoundedTokenizer
from infra.atomic import write_bytes
from infra.jobs.base import Job

if TYPE_CHECKING:
    from datatrove.pipeline.base import PipelineStep
    from numpy.typing import NDArray


class Minhash(DedupStep):
    """datatrove's four stages."""

    options = MinhashSpec
    version = 2  # long runs of marks are cut before words are told apart
    files_of_a_shard = 2  # its clusters and what is to be removed are written; before that, its signatures read
    spec: MinhashSpec

    def stages(self, context: Context) -> list[Job]:
        """Signatures, pairs, clusters; and the first of each cluster."""
        names = ("signatures", "pairs", "clusters", "remove")
        signatures, pairs, clusters, remove = (folder_of(context, name) for name in names)
        sign, match, cluster = minhash_steps(self.spec, signatures, pairs, clusters)
        files = self.files_of_a_shard * len(context.shards)
        bands = tuple(f"{context.name}: {label}" for label in band_labels(self.spec))
        return [
            context.job("signatures", context.documents(), sign),
            context.job("pairs", match, labels=bands, open_files=files),
            # datatrove keeps the root of each cluster, which is any of its documents; the rewriting keeps the first
            context.job("clusters", cluster, Call(rewrite_removals, clusters, remove),
                        labels=(f"{context.name}: clusters",), open_files=files),
        ]  # fmt: skip

    def removal(self, context: Context) -> PipelineStep:
        """Remove what was found."""
        return MinhashDedupFilter(folder_of(context, "remove"), context.removed)

    def check(self) -> None:
        """The word tokenizer, so that an unknown language or a missing package is told before any worker starts."""
        check_language(self.spec)


def check_language(spec: NearDuplicatesSpec) -> None:
    """Raise InputError for a language without a word tokenizer, UnavailableError where its package is missing."""
    with told("minhash"):
        language_known(spec.language)


def minhash_steps(
    spec: NearDuplicatesSpec, signatures: str, pairs: str, clusters: str
) -> tuple[PipelineStep, PipelineStep, PipelineStep]:
    """datatrove's stages, given their folders: signatures (a rank a shard), pairs (a rank a band), clusters (one)."""

    config = MinhashConfig(spec.n_grams, spec.num_buckets, spec.hashes_per_bucket, spec.seed)
    # `lines_to_buffer`: by default datatrove reads five signatures of a file at a time, a system call for each five
    return (
        MinhashDedupSignature(signatures, config, BoundedTokenizer(spec.language)),
        MinhashDedupBuckets(signatures, pairs, config=config, lines_to_buffer=1000),
        MinhashDedupCluster(pairs, clusters, config, save_cluster_id=True, lines_to_buffer=1000),
    )


def band_labels(spec: NearDuplicatesSpec) -> tuple[str, ...]:
    """What each rank of the second stage looks at."""
    return tuple(f"band {band + 1} of {spec.num_buckets}" for band in range(spec.num_buckets))


def rewrite_removals(clusters: str, remove: str) -> None:
    """Write `remove/NNNNNN.remove` from `clusters/NNNNNN.clusters`, both of them pairs in the order of the corpus."""

    seen: set[int] = set()
    for file in sorted(Path(clusters).glob("*.clusters")):
        later = [document for document, cluster in cluster_pairs(file).tolist() if not _first(cluster, seen)]
        if later:  # datatrove reads them back as numbers of 4 bytes
            write_bytes(Path(remove) / f"{file.stem}.remove", np.array(later, dtype="<u4").tobytes())


def cluster_pairs(file: Path) -> NDArray[np.uint32]:
    """[documents, 2]: number of a document in its shard, in order, and of the cluster that it belongs to."""
    return np.fromfile(file, dtype="<u4").reshape(-1, 2)


def _first(cluster: int, seen: set[int]) -> bool:
    new = cluster not in seen
    seen.add(cluster)
    return new
