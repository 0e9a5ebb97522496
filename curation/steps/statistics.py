"""The step `statistics`: datatrove's statistics of documents, lines, paragraphs, words and sentences."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datatrove.pipeline import stats
from datatrove.utils.stats import MetricStatsDict

from curation.steps.base import Context, Step
from curation.steps.filters.base_filter import language_known, told
from curation.steps.options import StatisticsSpec
from curation.text.word_tokenizer import BoundedTokenizer
from infra.atomic import write_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datatrove.data import Document
    from datatrove.pipeline.stats.base import BaseStats


class Statistics(Step):
    """datatrove's blocks; what they would add to every document's metadata is left out."""

    options = StatisticsSpec
    version = 2  # long runs of marks are cut before words are told apart
    spec: StatisticsSpec

    def check(self) -> None:
        """The packages that the blocks need."""
        with told(self.spec.step):
            if {"word", "sentence"} & set(self.spec.blocks):
                language_known(self.spec.language)
            self._blocks(Path("."))

    def apply(self, documents: Iterator[Document], context: Context, rank: int) -> Iterator[Document]:
        """Count each document as it passes."""
        blocks, counts = self._blocks(context.folder), MetricStatsDict()
        for document in documents:
            for block in blocks:
                for name, value in block.extract_stats(document).items():
                    counts[name] += value
            yield document
        write_json(context.folder / "counts" / f"{context.shards[rank].stem}.json", counts.to_dict())

    def report(self, context: Context) -> dict[str, Any]:
        """The sums over all shards, by corpus."""
        sums: dict[str, MetricStatsDict] = {}
        for shard in context.shards:
            file = context.folder / "counts" / f"{shard.stem}.json"
            counts = MetricStatsDict.from_dict(json.loads(file.read_text(encoding="utf-8")))
            sums[shard.corpus] = sums[shard.corpus] + counts if shard.corpus in sums else counts
        return {"statistics": {corpus: counts.to_dict() for corpus, counts in sums.items()}}

    def describe(self) -> str:
        """`statistics: doc, line`."""
        return f"statistics: {', '.join(self.spec.blocks)}"

    def _blocks(self, folder: Path) -> list[BaseStats]:
        kinds = {"doc": stats.DocStats, "line": stats.LineStats, "paragraph": stats.ParagraphStats,
                 "word": stats.WordStats, "sentence": stats.SentenceStats}  # fmt: skip
        tongue = {"language": BoundedTokenizer(self.spec.language)}
        return [kinds[name](str(folder), **(tongue if name in ("word", "sentence") else {}))
                for name in self.spec.blocks]  # fmt: skip
