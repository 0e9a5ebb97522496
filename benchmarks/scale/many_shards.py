"""Few and very many shards: curated, tokenised, and written as a mixture in shuffled order."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers

from benchmarks.scale.measured import Point, Series, cost_of_command

_WORDS, _OF_DOCUMENT, _OF_SHARD = 5_000, 400, 60  # words of the vocabulary, words of a document, documents of a shard
_FEW = 30  # shards, the cost of which, mostly that of starting, is taken off; less would not be cut


def measure(folder: Path, small: bool) -> Iterator[Series | str]:
    """Shards of sixty documents, up to 3,000 of them."""
    write_tokenizer(folder / "tokenizer.json")
    first = run(folder, _FEW)
    works: dict[str, list[Point]] = {work: [] for work in first}
    for shards in (60, 120, 300) if small else (300, 1_000, 3_000):
        for work, point in run(folder, shards).items():
            start = first[work]
            works[work].append(Point(shards, point.units - start.units, point.cost.beyond(start.cost)))
    for work, points in works.items():
        yield Series(work, "shards", "token", tuple(points))
    yield f"All beyond what {_FEW} shards take.\n"


def run(folder: Path, shards: int) -> dict[str, Point]:
    """Curate, tokenise and mix so many shards."""
    run_folder = folder / str(shards)
    run_folder.mkdir()
    write_documents(run_folder / "data.jsonl", shards * _OF_SHARD)
    jobs = {
        "Curated, without steps": (curation_job(run_folder), run_folder / "curation"),
        "Tokenised, and mixed for the first time": (mixture_job(run_folder, folder, 0), run_folder / "mixture-0"),
        "Mixed from tokens that are there": (mixture_job(run_folder, folder, 1), run_folder / "mixture-1"),
    }
    costs = {work: cost_of_command("run", str(job), "--out", str(out), "--workers", "2")
             for work, (job, out) in jobs.items()}  # fmt: skip
    tokens = json.loads((run_folder / "mixture-1" / "mixture.json").read_text())["tokens"]
    files = len(list((run_folder / "curation" / "corpora" / "web").glob("*.parquet")))
    assert files == shards, f"{files} shards of {shards}"
    shutil.rmtree(run_folder)
    return {work: Point(shards, tokens, cost) for work, cost in costs.items()}


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


def curation_job(run_folder: Path) -> Path:
    """Cut into shards, and nothing else."""
    job = run_folder / "curation.yaml"
    job.write_text(f"kind: curation\nname: many\nshard_documents: {_OF_SHARD}\nsteps: []\n"
                   f"corpora: {{web: {{sources: [{{path: {run_folder / 'data.jsonl'}}}]}}}}\n")  # fmt: skip
    return job


def mixture_job(run_folder: Path, folder: Path, seed: int) -> Path:
    """All documents in shuffled order."""
    job = run_folder / f"mixture-{seed}.yaml"
    job.write_text(f"kind: mixture\nname: many\nseed: {seed}\ncuration: {run_folder / 'curation'}\n"
                   f"sequence_length: 2048\ntokenizer: {{file: {folder / 'tokenizer.json'}}}\n"
                   "components: {all: {corpus: web, tokens: all}}\n")  # fmt: skip
    return job
