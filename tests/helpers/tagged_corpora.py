"""Tagged corpora written in the format of design.md section 6, and small mixtures over them."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from curation.corpus.tagged import schema
from infra.artifacts.artifact import Artifact, describe_files, write_manifest
from infra.artifacts.fingerprint import digest
from infra.stages.stage import run_stage
from mixtures.reading.built import BuiltMixture
from mixtures.spec.mixture import MixtureSpec
from mixtures.stage import MIXTURE

SENTENCE = (  # with letters outside ASCII, which take more than one byte
    "the river ran past a mill where two old men talked about rain and bread while their dog slept under an elm "
    "nobody knew how long it had been there yet every child of the village could tell its name in café naïve"
)
WORDS = SENTENCE.split()


@dataclass
class Doc:
    """A document to be written; `spans` None means that nobody tagged it."""

    id: str
    text: str
    source: str = "books"
    metadata: dict[str, object] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=lambda: {"toxicity": 0.0})
    spans: list[tuple[int, int, str, float]] | None = field(default_factory=list)


def clean_documents(count: int, seed: int = 0) -> list[Doc]:
    """Sentences of ordinary words, some with a little toxicity of their own."""
    rng = random.Random(seed)
    documents = []
    for number in range(count):
        text = " ".join(rng.choices(WORDS, k=rng.randint(4, 60))).capitalize() + "."
        score = rng.choice([0.01, 0.02, 0.1, 0.7])
        documents.append(Doc(f"clean-{number}", text, scores={"toxicity": score}))
    return documents


def risky_documents(count: int, seed: int = 1) -> list[Doc]:
    """Sentences with one tagged insult each."""
    rng = random.Random(seed)
    documents = []
    for number in range(count):
        before, after = (" ".join(rng.choices(WORDS, k=rng.randint(1, 20))) for _ in range(2))
        insult = rng.choice(["you idiot", "what a fool 😀"])
        text = f"{before} {insult} {after}"
        start = len(before) + 1
        spans = [(start, start + len(insult), "toxicity", rng.choice([0.6, 0.9, 0.99]))]
        documents.append(Doc(f"risky-{number}", text, source="forum", scores={"toxicity": 0.9}, spans=spans))
    return documents


def write_curation(folder: Path, corpora: dict[str, list[Doc]], shard_size: int = 40) -> Path:
    """Write a curation artifact: `corpora/NAME/*.parquet` and manifest.json; its fingerprint is its content."""
    manifest = {}
    for name, documents in corpora.items():
        target = folder / "corpora" / name
        target.mkdir(parents=True)
        files = []
        for number, first in enumerate(range(0, len(documents), shard_size)):
            shard = documents[first : first + shard_size]
            pq.write_table(
                pa.Table.from_pylist([_row(document) for document in shard], schema()), target / f"{number:05}.parquet"
            )
            characters = sum(len(document.text) for document in shard)
            files.append({"name": f"{number:05}.parquet", "documents": len(shard), "characters": characters})
        manifest[name] = {
            "documents": len(documents),
            "characters": sum(len(document.text) for document in documents),
            "words": sum(len(document.text.split()) for document in documents),
            "bytes": sum(len(document.text.encode()) for document in documents),
            "files": files,
            "attributes": ["toxicity"],
            "tagger": {"name": "words", "keep_at_or_above": 0.05},
        }
    (folder / "manifest.json").write_text(json.dumps({"corpora": manifest}))
    content = {name: [repr(document) for document in documents] for name, documents in corpora.items()}
    fields = {"config": {}, "inputs": {}, "counts": {}, "notes": [], "started": "2026-01-01T00:00:00+00:00"}
    write_manifest(folder, describe_files(folder), kind="curation", version=1, fingerprint=digest(content), **fields)
    return folder


def _row(document: Doc) -> dict[str, object]:
    names = ("start", "end", "attribute", "score")
    spans = None if document.spans is None else [dict(zip(names, span, strict=True)) for span in document.spans]
    return {
        "id": document.id,
        "text": document.text,
        "source": document.source,
        "metadata": json.dumps(document.metadata),
        "scores": list(document.scores.items()),
        "spans": spans,
    }


def mixture_data(curation: Path, **changes: object) -> dict[str, object]:
    """A mixture of 3,000 clean tokens and 10 % risky ones, as plain data."""
    data: dict[str, object] = {
        "name": "m",
        "curation": str(curation),
        "tokenizer": {"train_bpe": {"component": "clean", "vocab_size": 300}},
        "sequence_length": 64,
        "risk": "toxicity",
        "components": {
            "clean": {"corpus": "clean", "where": "toxicity < 0.5", "tokens": 3000},
            "risky": {"corpus": "forum", "fraction_of_total": 0.1},
        },
        "hold_out": {"clean": 500, "risky": 300},
    }
    return data | changes


def mixture_spec(curation: Path, **changes: object) -> MixtureSpec:
    """`mixture_data` checked."""
    return MixtureSpec.model_validate(mixture_data(curation, **changes))


def build(spec: MixtureSpec, target: Path, store: Path | None = None, workers: int = 1) -> BuiltMixture:
    """Run the mixture stage and open the result."""
    artifact: Artifact = run_stage(
        MIXTURE, spec, target, store=store or target.parent / "store", workers=workers, quiet=True
    )
    return BuiltMixture.open(artifact.path)
