"""The step `minhash`: datatrove's MinHash deduplication of documents that are nearly equal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from curation.steps.base import Context
from curation.steps.base_dedup import DedupSpec, DedupStep, folder_of
from curation.steps.base_filter import language_known, told

if TYPE_CHECKING:
    from datatrove.pipeline.base import PipelineStep
    from datatrove.pipeline.dedup import MinhashConfig

    from curation.execution.base import Job


class MinhashSpec(DedupSpec):
    """Removes documents that share most of their word n-grams with an earlier one. With the settings below, 92 % of the
    pairs with a Jaccard similarity of 0.8 are found, and half of those with 0.72.
    """

    step: Literal["minhash"] = "minhash"
    n_grams: int = Field(5, ge=1)
    """Words in an n-gram; documents shorter than that are never removed."""
    num_buckets: int = Field(14, ge=1)
    """Bands; more of them find pairs that are less alike."""
    hashes_per_bucket: int = Field(8, ge=1)
    """Hashes in a band; more of them ask for pairs that are more alike."""
    seed: int = 1
    """Of the hash functions."""
    language: str = "eng"
    """Whose word tokenizer is used; datatrove's code, such as eng, deu, fra."""


class Minhash(DedupStep):
    """datatrove's four stages."""

    options = MinhashSpec
    spec: MinhashSpec

    def stages(self, context: Context) -> list[Job]:
        """Signatures, pairs, clusters; and the first of each cluster."""
        from datatrove.pipeline.dedup import MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupSignature

        config = self._config()
        names = ("signatures", "pairs", "clusters", "remove")
        signatures, pairs, clusters, remove = (folder_of(context, name) for name in names)
        sign = MinhashDedupSignature(signatures, config, self.spec.language)
        match = MinhashDedupBuckets(signatures, pairs, config=config, lines_to_buffer=1000)
        cluster = MinhashDedupCluster(pairs, clusters, config, save_cluster_id=True, lines_to_buffer=1000)
        bands = tuple(f"{context.name}: band {band + 1} of {config.num_buckets}" for band in range(config.num_buckets))
        return [
            context.job("signatures", context.documents(), sign),
            context.job("pairs", match, labels=bands),
            context.job("clusters", cluster, _keep_first(clusters, remove), labels=(f"{context.name}: clusters",)),
        ]

    def removal(self, context: Context) -> PipelineStep:
        """Remove what was found."""
        from datatrove.pipeline.dedup import MinhashDedupFilter

        return MinhashDedupFilter(folder_of(context, "remove"), context.removed)

    def check(self) -> None:
        """The word tokenizer, so that an unknown language or a missing package is told before any worker starts."""
        with told(self.spec.step):
            language_known(self.spec.language)

    def _config(self) -> MinhashConfig:
        from datatrove.pipeline.dedup import MinhashConfig

        spec = self.spec
        return MinhashConfig(spec.n_grams, spec.num_buckets, spec.hashes_per_bucket, spec.seed)


def _keep_first(clusters: str, remove: str) -> PipelineStep:
    """datatrove keeps the root of each cluster, which is any of its documents; this keeps the first."""
    from curation.shards import Call

    return Call(rewrite_removals, clusters, remove)


def rewrite_removals(clusters: str, remove: str) -> None:
    """Write `remove/NNNNNN.remove` from `clusters/NNNNNN.clusters`, both of them pairs in the order of the corpus."""
    from pathlib import Path

    from infra.atomic import write_bytes

    seen: set[int] = set()
    for file in sorted(Path(clusters).glob("*.clusters")):
        later = [document for document, cluster in _pairs(file.read_bytes()) if not _first(cluster, seen)]
        if later:
            write_bytes(Path(remove) / f"{file.stem}.remove", b"".join(each.to_bytes(4, "little") for each in later))


def _pairs(data: bytes) -> Iterator[tuple[int, int]]:
    import numpy as np

    return ((int(document), int(cluster)) for document, cluster in np.frombuffer(data, dtype="<u4").reshape(-1, 2))


def _first(cluster: int, seen: set[int]) -> bool:
    new = cluster not in seen
    seen.add(cluster)
    return new
