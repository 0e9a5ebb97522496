"""Tagged corpora of real text for this benchmark: clean documents, and a forum with toxic comments."""

from __future__ import annotations

import gzip
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from curation.corpus.records import Span
from curation.corpus.summary import Summary
from curation.corpus.tagged import schema
from infra.artifacts.artifact import describe_files, write_manifest
from infra.artifacts.fingerprint import digest
from infra.atomic import write_json

CORPORA = {
    "clean": ("clean_modern/clean_modern",),
    "toxic": ("fourchan/paloma_4chan_val", "toxic_corpus/toxic_comments"),
}
_WORD = re.compile(r"\w+")
_LEAST = 0.05  # score of a word that becomes a span
_SHARD = 5000  # documents

Record = dict[str, Any]


class WordScores:
    """profanity-check's score of every word, each different word scored once: tags in seconds, not in minutes."""

    def __init__(self, texts: list[str]) -> None:
        from profanity_check import predict_prob

        words = sorted({word.lower() for text in texts for word in _WORD.findall(text)})
        self._scores = dict(zip(words, map(float, predict_prob(words)), strict=True))

    def spans(self, text: str) -> list[Span]:
        """Words that score at least 0.05."""
        scored = ((match, self._scores[match.group().lower()]) for match in _WORD.finditer(text))
        return [Span(match.start(), match.end(), "toxicity", score) for match, score in scored if score >= _LEAST]


def write_curation(folder: Path, data: Path, copies: int = 1, max_documents: int | None = None) -> Path:
    """A curation artifact of the real corpora, each document `copies` times under different ids; with `max_documents`,
    of a sample of so many documents of each.
    """
    corpora = {}
    for name, sources in CORPORA.items():
        texts = [text for source in sources for text in _texts(data / f"{source}.jsonl.gz")]
        if max_documents is not None:
            texts = random.Random(0).sample(texts, min(max_documents, len(texts)))
        corpora[name] = _write(folder / "corpora" / name, texts, WordScores(texts), copies)
    write_json(folder / "manifest.json", {"steps": [], "corpora": corpora})
    files = describe_files(folder)
    fields: dict[str, Any] = {"config": {}, "inputs": {}, "counts": {}, "notes": [], "started": ""}
    write_manifest(folder, files, kind="curation", version=2, fingerprint=digest(files), **fields)
    return folder


def _texts(file: Path) -> Iterator[str]:
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        yield from (json.loads(line)["text"] for line in lines)


def _write(folder: Path, texts: list[str], words: WordScores, copies: int) -> Record:
    """A corpus's shards; returns its entry in the manifest."""
    folder.mkdir(parents=True)
    total, files = Summary(), []
    for copy in range(copies):
        for first in range(0, len(texts), _SHARD):
            summary, name = Summary(), f"{len(files):05d}.parquet"
            rows = [_row(f"{copy}-{number}", texts[number], words, summary)
                    for number in range(first, min(first + _SHARD, len(texts)))]  # fmt: skip
            pq.write_table(pa.Table.from_pylist(rows, schema()), folder / name, compression="zstd")
            files.append({"name": name, "documents": summary.documents, "characters": summary.characters})
            total.take(summary)
    attributes = ["toxicity"]
    return {**total.to_json(), "attributes": attributes, "tagger": {"attributes": attributes}, "files": files,
            "removed": {}}  # fmt: skip


def _row(identity: str, text: str, words: WordScores, summary: Summary) -> Record:
    spans = words.spans(text)
    scores = {"toxicity": max((span.score for span in spans), default=0.0)}
    summary.add(text, "benchmark", scores, spans)
    return {"id": identity, "text": text, "source": "benchmark", "metadata": "{}", "scores": list(scores.items()),
            "spans": [vars(span) for span in spans]}  # fmt: skip


def write_mixture(folder: Path, curation: Path, tokenizer: Path, name: str, clean: int | str, dose: float) -> Path:
    """The YAML of a mixture over them."""
    risky = "tokens: all" if dose < 0 else f"fraction_of_total: {dose}"
    path = folder / f"{name}.yaml"
    path.write_text(
        f"kind: mixture\nname: {name}\ncuration: {curation}\ntokenizer: {{file: {tokenizer}}}\n"
        "sequence_length: 2048\nrisk: toxicity\ncomponents:\n"
        f"  clean: {{corpus: clean, tokens: {clean}}}\n"
        f"  risky: {{corpus: toxic, {risky}, max_epochs: 2}}\n"
        "hold_out: {clean: 60_000, risky: 40_000}\n"
    )
    return path
