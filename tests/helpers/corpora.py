"""Small made corpora and the YAML around them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

from ruamel.yaml import YAML

from curation.spec import CurationSpec
from infra.artifacts.artifact import Artifact
from infra.config.spec import load_spec

Curate = Callable[..., Artifact]

SCORE = {"step": "score", "scorer": {"name": "profanity"}}
TAG = {"step": "tag", "tagger": {"name": "words", "scorer": {"name": "profanity"}, "keep_at_or_above": 0.05}}

SENTENCES = [
    f"The {thing} near the {landmark} was painted {colour} by my neighbour."
    for thing in ("house", "fence", "bench", "bridge") for landmark in ("river", "school", "station", "market")
    for colour in ("red", "green", "blue", "yellow")
]  # fmt: skip


def load(folder: Path, corpora: dict, **settings: object) -> CurationSpec:
    """A spec by way of a YAML file in `folder`, so that relative paths and messages are what a user gets."""
    file = folder / "job.yaml"
    settings.setdefault("steps", [SCORE])
    with open(file, "w") as out:
        YAML(typ="safe").dump({"kind": "curation", "name": "job", "corpora": corpora, **settings}, out)
    _, spec = load_spec(file, {"curation": lambda: CurationSpec})
    assert isinstance(spec, CurationSpec)
    return spec


def write_jsonl(path: Path, records: list[dict]) -> Path:
    """JSON Lines, compressed as the suffix says."""
    data = "".join(json.dumps(record) + "\n" for record in records).encode()
    if path.suffix == ".gz":
        data = gzip.compress(data, mtime=0)
    if path.suffix == ".zst":
        import zstandard

        data = zstandard.compress(data)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path
