"""One corpus in few and in very many shards: tokenised, and written as a mixture in shuffled order."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers

from benchmarks.scale.measured import Point, Series, cost_of_command

_WORDS, _OF_DOCUMENT = 5_000, 400


def measure(folder: Path, small: bool) -> Iterator[Series | str]:
    """The same documents cut into more and more shards, up to 3,000."""
    documents, sizes = (3_000, (3, 30, 300)) if small else (60_000, (30, 300, 3_000))
    write_documents(folder / "data.jsonl", documents)
    write_tokenizer(folder / "tokenizer.json")
    curated, tokenised, mixed = [], [], []
    for shards in sizes:
        here = folder / str(shards)
        here.mkdir()
        curation, job = here / "curation", curation_job(here, folder, documents // shards)
        costs = [cost_of_command("run", str(job), "--out", str(curation), "--workers", "2")]
        for seed in (0, 1):  # the second finds the tokens that the first has made, and only writes
            job = mixture_job(here, folder, seed)
            costs.append(cost_of_command("run", str(job), "--out", str(here / f"mixture-{seed}"), "--workers", "2"))
        tokens = json.loads((here / "mixture-1" / "mixture.json").read_text())["tokens"]
        files = len(list((curation / "corpora" / "web").glob("*.parquet")))
        assert files == shards, f"{files} shards of {shards}"
        for points, cost in zip((curated, tokenised, mixed), costs, strict=True):
            points.append(Point(shards, tokens, cost))
        shutil.rmtree(here)
    yield Series("Curated, without steps", "shards", "token", tuple(curated))
    yield Series("Tokenised, and mixed for the first time", "shards", "token", tuple(tokenised))
    yield Series("Mixed from tokens that are there", "shards", "token", tuple(mixed))


def write_documents(file: Path, documents: int) -> None:
    """Made documents of 400 words."""
    draw = random.Random(0)
    words = [f"word{number}" for number in range(_WORDS)]
    with file.open("w") as out:
        for _ in range(documents):
            out.write(json.dumps({"text": " ".join(draw.choices(words, k=_OF_DOCUMENT))}) + "\n")


def write_tokenizer(file: Path) -> None:
    """A token a word: what is measured is shards, not a tokenizer."""
    tokens = ["<|endoftext|>", "<|padding|>", *(f"word{number}" for number in range(_WORDS))]
    tokenizer = Tokenizer(models.WordLevel({token: number for number, token in enumerate(tokens)}, unk_token="word0"))  # noqa: S106
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(tokens[:2])
    tokenizer.save(str(file))


def curation_job(here: Path, folder: Path, documents: int) -> Path:
    """Shards of so many documents."""
    job = here / "curation.yaml"
    job.write_text(f"kind: curation\nname: many\nshard_documents: {documents}\nsteps: []\n"
                   f"corpora: {{web: {{sources: [{{path: {folder / 'data.jsonl'}}}]}}}}\n")  # fmt: skip
    return job


def mixture_job(here: Path, folder: Path, seed: int) -> Path:
    """All documents in shuffled order."""
    job = here / f"mixture-{seed}.yaml"
    job.write_text(f"kind: mixture\nname: many\nseed: {seed}\ncuration: {here / 'curation'}\nsequence_length: 2048\n"
                   f"tokenizer: {{file: {folder / 'tokenizer.json'}}}\n"
                   "components: {all: {corpus: web, tokens: all}}\n")  # fmt: skip
    return job
