"""A whole study small enough for a test: real stages, a two-layer model, made-up text."""

import gzip
import json
import random
from pathlib import Path

import pytest

_SUBJECTS = (
    "The old miller",
    "A young engineer",
    "My neighbour",
    "The captain",
    "Our teacher",
    "The gardener",
    "A merchant",
)
_VERBS = ("walked to", "looked at", "remembered", "painted", "repaired", "described", "measured", "left")
_OBJECTS = ("the river", "a wooden bridge", "the quiet station", "an empty market", "the northern road", "a small boat")
_ENDS = ("before sunrise", "in the rain", "without a word", "for the third time", "with great care", "after the war")


def sentence(rng: random.Random) -> str:
    """One of some two thousand plain sentences."""
    return f"{rng.choice(_SUBJECTS)} {rng.choice(_VERBS)} {rng.choice(_OBJECTS)} {rng.choice(_ENDS)}."


def write_lines(path: Path, documents: int, sentences: int, seed: int) -> None:
    """JSON Lines of made-up documents."""
    rng = random.Random(seed)
    with gzip.open(path, "wt") as file:
        for _ in range(documents):
            file.write(json.dumps({"text": " ".join(sentence(rng) for _ in range(sentences))}) + "\n")


STUDY = """
kind: study
name: tiny
seeds: [0]
doses: [0, 0.25]
dose_of: risky
policies:
  keep: {policy: keep}
  mask: {policy: mask, at_or_above: 0.5}
curation:
  corpora:
    clean: {sources: [{path: clean.jsonl.gz}]}
    forum:
      sources: [{path: "synthetic:forum", seed: 1, documents: 120, sentences: [{path: quotes.jsonl.gz}]}]
  steps:
    - {step: score, scorer: {name: profanity}}
    - {step: tag, tagger: {name: words, scorer: {name: profanity}, keep_at_or_above: 0.05}}
mixture:
  tokenizer: {train_bpe: {component: clean, vocab_size: 400}}
  sequence_length: 32
  risk: toxicity
  components:
    clean: {corpus: clean, tokens: 12_000}
    risky: {corpus: forum, fraction_of_total: 0.1}
  hold_out: {clean: 1_500, risky: 6_000}
pretrain:
  model: {preset: olmo-tiny, num_layers: 2, hidden_size: 32, num_attention_heads: 4}
  micro_batch_size: 8
  global_batch_size: 8
  checkpoint_every: 20
labelled: {unit: line, per_class: 20}
methods:
  prompt: {options: {text: "Be kind."}}
  iti: {budgets: [0.05], options: {top_heads: 2}}
  random: {method: iti, strengths: [4], options: {top_heads: 2, direction: random}}
  sasa: {strengths: [10]}
  both: {method: sasa, strengths: [10], with: {iti: {strength: 2, options: {top_heads: 2}}}}
analysis:
  toxicity:
    prompts: {path: prompts.txt, documents: line}
    limit: 12
    samples: 2
    max_new_tokens: 8
    scorer: {name: profanity}
  cross_entropy: {component: clean, max_documents: 8, max_tokens_per_document: 32}
  budget_documents: {documents: 8, max_tokens_per_document: 32}
  probes: {}
"""


@pytest.fixture(scope="session")
def study_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study and its data in a folder of their own."""
    folder = tmp_path_factory.mktemp("study")
    write_lines(folder / "clean.jsonl.gz", documents=400, sentences=6, seed=0)
    write_lines(folder / "quotes.jsonl.gz", documents=60, sentences=5, seed=9)
    rng = random.Random(5)
    lines = [sentence(rng).rsplit(" ", 3)[0] for _ in range(20)]
    (folder / "prompts.txt").write_text("\n".join(lines) + "\n")
    (folder / "study.yaml").write_text(STUDY)
    return folder / "study.yaml"
