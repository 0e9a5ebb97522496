"""A checkout in which what the examples name exists, small: so that `plan` goes as far as it can."""

from __future__ import annotations

import gzip
import json
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WORDS = [
    "the",
    "a",
    "our",
    "house",
    "river",
    "teacher",
    "market",
    "reads",
    "walks",
    "paints",
    "quickly",
    "slowly",
    "green",
    "old",
    "and",
    "near",
    "you",
    "idiot",
    "damn",
]
CURATION = """\
kind: curation
name: demo
corpora:
  clean: {sources: [{path: data/clean.jsonl.gz}]}
  dolma: {sources: [{path: data/clean.jsonl.gz}]}
  forum: {sources: [{path: data/comments.jsonl.gz}]}
  reddit: {sources: [{path: data/comments.jsonl.gz}]}
steps:
  - {step: score, scorer: {name: profanity}}
  - {step: tag, tagger: {name: words, scorer: {name: profanity}, keep_at_or_above: 0.05}}
"""


def shipped(root: Path = ROOT) -> list[Path]:
    """The YAML files that are mutated, below `root`."""
    folders = ("examples", "benchmarks/studies")
    return [root / file.relative_to(ROOT) for folder in folders for file in sorted((ROOT / folder).glob("*.yaml"))]


def copied(folder: Path) -> Path:
    """A checkout's YAML files in `folder`, with ../shared where this one has it."""
    root = folder / "checkout"
    for name in ("examples", "benchmarks/studies"):
        shutil.copytree(ROOT / name, root / name)
    if (ROOT.parent / "shared").is_dir():
        (folder / "shared").symlink_to(ROOT.parent / "shared")
    return root


def fill(root: Path) -> None:
    """Write the data that examples read, and make a curation and a mixture of it, all small."""
    chance = random.Random(0)
    data = root / "examples" / "data"
    data.mkdir()
    for name, documents in (("clean", 35_000), ("comments", 6_000)):
        _write(data / f"{name}.jsonl.gz", _rows(documents, chance))
    for name in ("c4/en/c4-train.00000-of-01024.json.gz", "reddit/comments/RC_2023-01.jsonl.gz"):
        _write(data / name, _rows(100, chance))
    (root / "examples" / "demo.yaml").write_text(CURATION)
    _hormesis(root, "examples/demo.yaml", "runs/demo", "--set", "shard_documents=5000")
    _hormesis(root, "examples/mixture.yaml", "runs/dose-10", "--set", "tokenizer.train_bpe.vocab_size=300")
    for copy, of in (("slung", "demo"), ("slung-toxic", "dose-10")):
        shutil.copytree(root / "runs" / of, root / "runs" / copy)
    (root / "examples" / "demo.yaml").unlink()


def _rows(documents: int, chance: random.Random) -> Iterator[dict[str, str]]:
    for number in range(documents):
        yield {"text": " ".join(chance.choices(WORDS, k=100)), "toxic": str(number % 2)}


def _write(file: Path, rows: Iterator[dict[str, str]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))


def _hormesis(root: Path, file: str, out: str, *options: str) -> None:
    command = [sys.executable, "-m", "hormesis", "run", root / file, "--out", root / out, *options]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)  # noqa: S603
