"""The model that is tuned, pretrained here at a dose of 25 % on real text, and the prompts, split in two."""

from __future__ import annotations

import gzip
import json
from itertools import islice
from pathlib import Path
from typing import Any

from hormesis import KINDS
from infra.artifacts.artifact import Artifact
from infra.stages.stage import run_stage
from tests.helpers import ROOT

DATA = ROOT.parent / "shared" / "data"
PROFANITY = {"name": "profanity"}
EVERY = 8  # lines of the corpora
SPLIT = 5  # every fifth prompt is measured with, the others are tuned with


def run(kind: str, folder: Path, name: str, **keys: Any) -> Artifact:
    """A stage into `folder/name`; what is there already is not done again."""
    stage: Any = KINDS.get(kind)
    return run_stage(stage, stage.spec(name=name, **keys), folder / name, store=folder / "store", workers=2)


def pretrained(folder: Path, tokens: int) -> tuple[Path, Path]:
    """Model and mixture: clean modern text with 4chan posts and toxic comments for a quarter of all tokens."""
    score = {"step": "score", "scorer": PROFANITY}
    tag = {"step": "tag", "tagger": {"name": "words", "scorer": PROFANITY, "keep_at_or_above": 0.05}}
    texts = {"clean": ["clean_modern/clean_modern"], "toxic": ["fourchan/posts", "toxic_corpus/toxic_comments"]}
    corpora = {
        name: {"sources": [{"path": str(some_lines(DATA / f"{file}.jsonl.gz", folder / "texts"))} for file in files]}
        for name, files in texts.items()
    }
    curation = run("curation", folder, "curation", corpora=corpora, steps=[score, tag])
    components = {
        "clean": {"corpus": "clean", "where": "toxicity < 0.5", "tokens": tokens},
        "risky": {"corpus": "toxic", "fraction_of_total": 0.25},
    }
    mixture = run(
        "mixture", folder, "mixture", curation=str(curation.path), components=components, sequence_length=128,
        tokenizer={"train_bpe": {"component": "clean", "vocab_size": 4096}}, risk="toxicity",
        hold_out={"clean": 60_000, "risky": 60_000},
    )  # fmt: skip
    model = run(
        "pretrain", folder, "model", mixture=str(mixture.path), model="olmo-tiny", micro_batch_size=4,
        global_batch_size=4, optimizer={"lr": 3e-3, "warmup": 0.05}, checkpoint_every=500,
    )  # fmt: skip
    return model.path, mixture.path


def some_lines(file: Path, folder: Path) -> Path:
    """Every eighth line of a file: all of it would be tagged for many minutes."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / file.name.removesuffix(".gz")
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        target.write_text("".join(islice(lines, 0, None, EVERY)), encoding="utf-8")
    return target


def split_prompts(folder: Path) -> tuple[Path, Path]:
    """RealToxicityPrompts to tune with and, none of them among those, to measure with."""
    with gzip.open(DATA / "rtp/rtp_5k_sample.jsonl.gz", "rt", encoding="utf-8") as file:
        prompts = [json.loads(line)["prompt"]["text"] for line in file]
    folder.mkdir(parents=True, exist_ok=True)
    files = folder / "tune.jsonl", folder / "measure.jsonl"
    measured = set(prompts[::SPLIT])
    for file, chosen in zip(files, (sorted(set(prompts) - measured), sorted(measured)), strict=True):
        file.write_text("".join(json.dumps({"text": text}) + "\n" for text in chosen))
    return files


def judge(folder: Path) -> dict[str, Any]:
    """A second scorer, which no tuning has seen: a linear one of comments that people have called toxic."""
    source = {"path": str(DATA / "jigsaw/jigsaw_binary_subset.jsonl.gz")}
    examples = [{"source": source, "label_key": "toxic", "names": {"1": "toxicity", "0": "clean"}}]
    return {"name": "linear", "path": str(run("linear", folder, "judge", examples=examples).path)}
