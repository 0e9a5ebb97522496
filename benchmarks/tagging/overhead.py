"""(f) What hormesis costs above datatrove: the same documents read, scored and written by datatrove's own steps."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench import Bench, seconds
from datatrove.data import Document
from datatrove.pipeline.base import PipelineStep

_DOCUMENTS = 12_000
_ROUNDS = 3


class Profanity(PipelineStep):
    """alt-profanity-check on the pieces of each text, 256 documents at once, as one would write it for datatrove."""

    name, type = "profanity", "benchmark"

    def run(self, data: Any, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        """Yield the documents with their scores."""
        from itertools import islice

        from profanity_check import predict_prob

        from curation.text.passages import passages

        while batch := list(islice(data, 256)):
            pieces = [list(passages(document.text, 200)) for document in batch]
            scores = iter(predict_prob([piece for document_pieces in pieces for piece in document_pieces]))
            for document, document_pieces in zip(batch, pieces, strict=True):
                document.metadata["toxicity"] = max(float(next(scores)) for _ in document_pieces)
                yield document


def measure(bench: Bench) -> None:
    """Both from the same file, in this process, the better of some rounds each."""
    source = bench.out / "overhead.jsonl"
    source.write_text("".join(json.dumps({"text": text}) + "\n" for text in bench.texts(_DOCUMENTS)))
    bare = min(seconds(lambda: _bare(source, bench.out / "bare")) for _ in range(_ROUNDS))
    ours = min(seconds(lambda: _ours(source, bench.out / "ours")) for _ in range(_ROUNDS))
    bench.add("f", "bare datatrove: read, profanity, write Parquet", _DOCUMENTS / bare, "documents/s")
    bench.add("f", "hormesis: the same", _DOCUMENTS / ours, "documents/s")
    bench.add("f", "overhead", 100 * (ours / bare - 1), "%", ceiling=10)


def _bare(source: Path, target: Path) -> None:
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers import ParquetWriter

    shutil.rmtree(target, ignore_errors=True)
    reader = JsonlReader(str(source.parent), glob_pattern=source.name)
    writer = ParquetWriter(str(target / "out"), compression="zstd")
    LocalPipelineExecutor([reader, Profanity(), writer], tasks=1, logging_dir=str(target / "logs")).run()


def _ours(source: Path, target: Path) -> None:
    from curation.spec import CurationSpec
    from curation.stage import CURATION
    from infra.stages.stage import run_stage

    shutil.rmtree(target, ignore_errors=True)
    spec = CurationSpec.model_validate({
        "name": "overhead", "corpora": {"texts": {"sources": [{"path": str(source)}]}},
        "steps": [{"step": "score", "scorer": {"name": "profanity"}, "passage": 200}],
    })  # fmt: skip
    run_stage(CURATION, spec, target, workers=1, quiet=True)
