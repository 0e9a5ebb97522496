"""A world for benchmarks of safety: made-up text and every kind of artifact, each of it made within seconds."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

SUBJECTS = ("The old miller", "A young engineer", "My neighbour", "The captain", "Our teacher", "The gardener")
VERBS = ("walked to", "looked at", "remembered", "painted", "repaired", "described", "measured", "left")
OBJECTS = ("the river", "a wooden bridge", "the quiet station", "an empty market", "the northern road", "a small boat")
ENDS = ("before sunrise", "in the rain", "without a word", "for the third time", "with great care", "after the war")
INSULTS = ("you stupid idiot", "what a damn moron", "shut up you fool")

CURATION = """\
kind: curation
name: curated
shard_documents: 100
corpora:
  clean: {sources: [{path: "clean*.jsonl"}]}
  forum: {sources: [{path: forum.jsonl}]}
steps:
  - {step: exact_dedup}
  - {step: score, scorer: {name: profanity}}
  - {step: tag, tagger: {name: words, scorer: {name: profanity}, keep_at_or_above: 0.05}}
"""
MIXTURE = """\
kind: mixture
name: mixed
curation: curated
tokenizer: {train_bpe: {component: clean, vocab_size: 400}}
sequence_length: 32
risk: toxicity
components:
  clean: {corpus: clean, tokens: 12000}
  risky: {corpus: forum, fraction_of_total: 0.1}
hold_out: {clean: 1500, risky: 3000}
"""
PRETRAIN = """\
kind: pretrain
name: trained
mixture: mixed
model: {preset: olmo-tiny, num_layers: 2, hidden_size: 32, num_attention_heads: 4}
loss: {policy: mask, at_or_above: 0.5}
micro_batch_size: 8
global_batch_size: 8
checkpoint_every: 10
keep_every: 20
"""
STUDY = """\
kind: study
name: studied
seeds: [0]
doses: [0, 0.25]
dose_of: risky
policies:
  mask: {policy: mask, at_or_above: 0.5}
curation:
  corpora:
    clean: {sources: [{path: "clean*.jsonl"}]}
    forum: {sources: [{path: forum.jsonl}]}
  steps:
    - {step: score, scorer: {name: profanity}}
    - {step: tag, tagger: {name: words, scorer: {name: profanity}, keep_at_or_above: 0.05}}
mixture:
  tokenizer: {train_bpe: {component: clean, vocab_size: 400}}
  sequence_length: 32
  risk: toxicity
  components:
    clean: {corpus: clean, tokens: 8_000}
    risky: {corpus: forum, fraction_of_total: 0.1}
  hold_out: {clean: 1_500, risky: 3_000}
pretrain:
  model: {preset: olmo-tiny, num_layers: 2, hidden_size: 32, num_attention_heads: 4}
  micro_batch_size: 8
  global_batch_size: 8
  checkpoint_every: 10
labelled: {unit: line, per_class: 20}
methods:
  prompt: {options: {text: "Be kind."}}
  iti: {strengths: [4], options: {top_heads: 2}}
analysis:
  toxicity:
    prompts: {path: prompts.txt, documents: line}
    limit: 6
    samples: 1
    max_new_tokens: 6
    scorer: {name: profanity}
  cross_entropy: {component: clean, max_documents: 6, max_tokens_per_document: 32}
"""
FILES = {"curation": CURATION, "mixture": MIXTURE, "pretrain": PRETRAIN, "study": STUDY}
LABELLED = "[{source: {path: labelled.jsonl}, label_key: label"
MORE_FILES = {
    "posttrain": """\
kind: posttrain
name: steered
model: trained
method: {name: iti, top_heads: 2}
labelled: {mixture: mixed, unit: line, attribute: toxicity, at_or_above: 0.5, per_class: 20}
""",
    "analysis": """\
kind: analysis
name: measured
model: trained
recipe: [{steering: steered, strength: 2}]
mixture: mixed
labelled: {mixture: mixed, unit: line, per_class: 20}
arm: {name: x, dose: 0.1, policy: mask, mixture: mixed}
toxicity:
  prompts: {path: prompts.txt, documents: line}
  limit: 4
  samples: 1
  max_new_tokens: 5
  scorer: {name: profanity}
cross_entropy: {component: clean, max_documents: 4, max_tokens_per_document: 32}
""",
    "tagger": """\
kind: tagger
name: tagger
learn_from: {path: spans.jsonl}
validation: 0.2
model: {name: lexical, hash_bits: 12, iterations: 40}
""",
    "fasttext": f"""\
kind: fasttext
name: fasttext
examples: {LABELLED}, names: {{toxicity: toxic}}}}]
training: {{dim: 4, bucket: 1000, epoch: 10}}
held_out: 0.25
""",
    "linear": f"""\
kind: linear
name: linear
examples: {LABELLED}}}]
languages: [en]
hash_bits: 12
held_out: 0.3
""",
    "distillation": """\
kind: distillation
name: distilled
scorer: {name: profanity}
sources: [{path: labelled.jsonl}]
hash_bits: 12
""",
    "calibration": """\
kind: calibration
name: calibrated
scorer: {name: profanity}
references: [{source: {path: labelled.jsonl}, scores: {toxicity: given}}]
""",
    "swarm": """\
kind: swarm
name: swarm
components: {a: {natural: 0.5}, b: {natural: 0.3}, c: {natural: 0.2}}
proxies: {mixtures: mixtures.csv, results: results.csv}
fit: {responses: [log_linear, trees], folds: 3}
optimum: {replicates: 20}
""",
    "scored": """\
kind: curation
name: scored
corpora: {forum: {sources: [{path: forum.jsonl}], limit: 40}}
steps:
  - {step: score, prefix: f_, scorer: {name: fasttext, model: fasttext, labels: {toxicity: toxic}}}
  - {step: score, prefix: l_, scorer: {name: linear, path: linear}}
  - {step: score, prefix: d_, scorer: {name: distilled, path: distilled}}
  - {step: score, scorer: {name: profanity, calibration: calibrated}}
  - {step: tag, tagger: {name: lexical, path: tagger}}
""",
    "continued": """\
kind: pretrain
name: continued
mixture: mixed
start_from: {model: trained, optimizer: continue, learning_rate: continue}
micro_batch_size: 8
global_batch_size: 8
""",
}


def sentence(draw: random.Random) -> str:
    """One of some two thousand plain sentences."""
    return f"{draw.choice(SUBJECTS)} {draw.choice(VERBS)} {draw.choice(OBJECTS)} {draw.choice(ENDS)}."


def rude_sentence(draw: random.Random) -> str:
    """A plain sentence with an insult in front."""
    return f"{draw.choice(INSULTS)}. {sentence(draw)}"


def write_lines(path: Path, rows: list[dict[str, object]]) -> None:
    """JSON Lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_world(folder: Path) -> Path:
    """Text and the YAML files of `FILES`, each called after its kind; the same at every call."""
    folder.mkdir(parents=True, exist_ok=True)
    draw = random.Random(0)
    for number in range(3):
        rows = [{"text": " ".join(sentence(draw) for _ in range(6))} for _ in range(150)]
        write_lines(folder / f"clean{number}.jsonl", [*rows, rows[0]])
    posts = ["\n".join(rude_sentence(draw) if draw.random() < 0.4 else sentence(draw) for _ in range(5))
             for _ in range(250)]  # fmt: skip
    write_lines(folder / "forum.jsonl", [{"text": post} for post in posts])
    (folder / "prompts.txt").write_text("".join(sentence(draw).rsplit(" ", 3)[0] + "\n" for _ in range(20)))
    _write_labels(folder, draw)
    for kind, text in (FILES | MORE_FILES).items():
        (folder / f"{kind}.yaml").write_text(text)
    return folder


def _write_labels(folder: Path, draw: random.Random) -> None:
    """Labelled texts, marked insults, and the mixtures and measurements of made-up proxies."""
    labelled: list[dict[str, object]] = []
    marked: list[dict[str, object]] = []
    for number in range(240):
        rude = number % 2 == 0
        text = rude_sentence(draw) if rude else sentence(draw)
        label, score = ("toxicity", draw.uniform(0.5, 1)) if rude else ("clean", draw.uniform(0, 0.4))
        labelled.append({"text": text, "label": label, "given": score})
        marked.append({"text": text, "spans": [[0, text.index(".")]] if rude else []})
    write_lines(folder / "labelled.jsonl", labelled)
    write_lines(folder / "spans.jsonl", marked)
    mixtures, results = ["index,a,b,c"], ["index,loss"]
    for number in range(30):
        a, b = sorted((draw.random(), draw.random()))
        mixtures.append(f"{number},{a!r},{b - a!r},{1 - b!r}")
        results.append(f"{number},{2 + math.exp(-a - 0.5 * (1 - b)) + draw.gauss(0, 0.01)!r}")
    (folder / "mixtures.csv").write_text("\n".join(mixtures) + "\n")
    (folder / "results.csv").write_text("\n".join(results) + "\n")
