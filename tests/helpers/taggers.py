"""Small made labels, a tiny encoder, and the stage `tagger` run on them the way the command line runs it."""

from __future__ import annotations

import random
from pathlib import Path

from ruamel.yaml import YAML

from curation.training.tagger.spec import TaggerTrainingSpec
from curation.training.tagger.stage import TAGGER
from infra.artifacts.artifact import Artifact
from infra.config.spec import load_spec
from infra.stages.stage import run_stage
from tests.helpers.corpora import SENTENCES, write_jsonl

RUDE = ("idiot", "moron", "fool")
LEXICAL = {"name": "lexical", "hash_bits": 14, "iterations": 60}
_WORDS = sorted({word.lower().strip(".") for sentence in SENTENCES for word in sentence.split()})


def rude_texts(number: int, seed: int = 0) -> list[dict]:
    """Sentences, two of three with an insult whose letters are the labelled span; "you" alone is harmless."""
    draw = random.Random(seed)
    rows = []
    for index in range(number):
        before, after = draw.choice(SENTENCES), draw.choice(SENTENCES)
        if index % 3 == 0:
            rows.append({"text": f"{before} And you know it. {after}", "spans": []})
            continue
        word = draw.choice(RUDE)
        start = len(before) + len(" And you, ")
        rows.append({"text": f"{before} And you, {word}, know it. {after}", "spans": [[start, start + len(word)]]})
    return rows


def tagger_spec(folder: Path, **settings: object) -> TaggerTrainingSpec:
    """A spec by way of a YAML file in `folder`; it learns from `labels.jsonl` there unless told otherwise."""
    if not (folder / "labels.jsonl").exists():
        write_jsonl(folder / "labels.jsonl", rude_texts(150))
    settings = {"learn_from": {"path": "labels.jsonl"}, "validation": 0.2, "model": LEXICAL, **settings}
    file = folder / "tagger.yaml"
    with open(file, "w") as out:
        YAML(typ="safe").dump({"kind": "tagger", **settings}, out)
    _, spec = load_spec(file, {"tagger": lambda: TaggerTrainingSpec})
    assert isinstance(spec, TaggerTrainingSpec)
    return spec


def train(folder: Path, out: str = "tagger", **settings: object) -> Artifact:
    """Train into `folder`/`out`."""
    return run_stage(TAGGER, tagger_spec(folder, **settings), folder / out, quiet=True)


def save_encoder(folder: Path) -> Path:
    """A BERT of one layer with a vocabulary of the made sentences, as `save_pretrained` leaves it."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizer

    folder.mkdir(parents=True)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", ",", *letters, *(f"##{letter}" for letter in letters)]
    (folder / "vocab.txt").write_text("\n".join([*words, *(word for word in (*_WORDS, *RUDE) if len(word) > 1)]))
    tokenizer = BertTokenizer(vocab=str(folder / "vocab.txt"), model_max_length=64)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
                        intermediate_size=64, max_position_embeddings=64)  # fmt: skip
    BertModel(config).save_pretrained(folder)
    return folder
