"""What was made yesterday is made today: fingerprints of the examples, and the bytes of a small chain of artifacts.

`tests/recorded.json` holds the values. Where one changes on purpose (a stage's `version` rises, an example says
something else), record anew with `HORMESIS_RECORD=1 pytest tests/test_recorded.py`, look at `git diff
tests/recorded.json`, and say in the commit which values changed and why.

Numbers that come of floating point are compared with a tolerance, since their last bits belong to the processor;
order, tokens, risk bytes and fingerprints do not.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save_file

from analysis.study.steps import steps_of
from hormesis import KINDS, load
from pretrain.stage import trace_sample

ROOT = Path(__file__).parents[1]
RECORD = Path(__file__).with_name("recorded.json")
EXAMPLES = sorted(path.name for path in ROOT.glob("examples/*.yaml"))

# What this machine may not have or may not reach, and what stands for it
INSTEAD = {
    r"\{name: detoxify, model: unbiased\}": "{name: profanity}",
    r"\n +- \{step: language,.*": "",  # its model is a download
    r"s3://my-bucket/": "data/",
    r"\.\./\.\./shared/data/regmix/": "data/regmix/",
}

# Files that the examples read, in examples/data. Only their bytes enter a fingerprint, so a line will do.
READ = {
    "c4/en/c4-train.00000-of-01024.json.gz": "c4",
    "kek/pol_062016-112019_labeled.ndjson": "kek",
    "reddit/comments/RC_2023-03.jsonl.zst": "comments",
    "reddit/submissions/RS_2023-03.jsonl.zst": "submissions",
    "dolma/web/documents/0.json.gz": "web",
    "dolma/forum/documents/0.json.gz": "forum",
    "realtoxicityprompts/prompts.jsonl": "prompts",
    "toxigen/prompts.jsonl": "few-shot lists",
    "bold/prompts.jsonl": "beginnings",
    "attaq/attaq.jsonl": "questions",
    "advbench/harmful_behaviors.jsonl": "requests",
    "civil_comments/train.jsonl": "comments",
    "comments.jsonl.gz": "labelled",
    "clean.jsonl.gz": "clean",
    "regmix/train_mixture_1m.csv": "mixtures",
    "regmix/train_pile_loss_1m.csv": "results",
    "regmix/test_mixture_1m.csv": "more mixtures",
    "regmix/test_pile_loss_1m.csv": "more results",
}

CHAIN = {
    "curation": """
        kind: curation
        name: demo
        corpora:
          clean: {sources: [{path: data/clean.jsonl}]}
          forum: {sources: [{path: synthetic:forum, seed: 0, documents: 60, sentences: [{path: data/sentences.txt}]}]}
          plain: {sources: [{path: data/sentences.txt}, {path: data/clean.jsonl}]}
        steps:
          - {step: exact_dedup}
          - {step: regex, regex_exp: "number 7 ", corpora: [plain]}
          - {step: score, scorer: {name: profanity}, corpora: [clean, forum]}
          - step: tag
            corpora: [clean, forum]
            tagger: {name: words, scorer: {name: profanity}, keep_at_or_above: 0.05}
    """,
    "mixture": """
        kind: mixture
        name: dose-10
        curation: runs/demo
        tokenizer: {train_bpe: {component: clean, vocab_size: 300}}
        sequence_length: 64
        risk: toxicity
        components:
          clean: {corpus: clean, where: toxicity < 0.5, tokens: 2000}
          risky: {corpus: forum, fraction_of_total: 0.1}
        hold_out: {clean: 400, risky: 300}
    """,
    "pretrain": """
        kind: pretrain
        name: tiny
        mixture: runs/dose-10
        model: {num_layers: 2, hidden_size: 32, num_attention_heads: 4}
        loss: {policy: mask, at_or_above: 0.5}
        optimizer: {lr: 1.0e-3}
        micro_batch_size: 2
        global_batch_size: 16
        log_every: 1
        checkpoint_every: 1000
    """,
    "posttrain": """
        kind: posttrain
        name: iti
        model: runs/tiny
        method: {name: prompt, text: "Be kind."}
        labelled: {mixture: runs/dose-10, unit: line, attribute: toxicity, at_or_above: 0.5, per_class: 10}
    """,
}
ADVICE = (
    "If that is on purpose, run HORMESIS_RECORD=1 pytest tests/test_recorded.py and say in the commit what changed and "
    "why; if not, the change makes what people have built look unfinished."
)
FOLDERS = {"curation": "demo", "mixture": "dose-10", "pretrain": "tiny", "posttrain": "iti"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with everything that the examples read, made up: texts, a chain of artifacts, a model's folder."""
    folder = tmp_path_factory.mktemp("world")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HORMESIS_CACHE", str(folder / "cache"))
        patch.setenv("OMP_NUM_THREADS", "1")
        write_texts(folder / "data")
        for kind, text in CHAIN.items():
            file = folder / f"{kind}.yaml"
            file.write_text("\n".join(line[8:] for line in text.strip("\n").splitlines()))
            start(file, folder / "runs" / FOLDERS[kind])
        write_examples(folder)
        yield folder


def write_texts(folder: Path) -> None:
    """A few hundred lines of text in the places where sources of the chain are."""
    folder.mkdir()
    sentences = [f"The boat number {n} near the {w} was painted by my neighbour." for n in range(10)
                 for w in ("river", "school", "station", "market", "café", "mill")]  # fmt: skip
    (folder / "sentences.txt").write_text("\n".join(sentences))
    clean = [{"id": f"d{n}", "text": " ".join(sentences[(n * k) % 60] for k in (1, 5, 7))} for n in range(90)]
    (folder / "clean.jsonl").write_text("".join(json.dumps(record) + "\n" for record in clean))


def start(file: Path, target: Path) -> None:
    """What `hormesis run` does, on one thread."""
    import torch

    torch.set_num_threads(1)
    kind, spec, _ = load(file, [])
    KINDS.get(kind).start(spec, target, 1)


def write_examples(folder: Path) -> None:
    """The examples as they are but for `INSTEAD`, and files where they look for some."""
    data, models, runs = folder / "examples" / "data", folder / "models", folder / "runs"
    data.mkdir(parents=True)
    for name in EXAMPLES:
        text = (ROOT / "examples" / name).read_text()
        for real, made_up in INSTEAD.items():
            text = re.sub(real, made_up, text)
        (folder / "examples" / name).write_text(text)
    for name, text in READ.items():
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).write_text(text)
    for name in ("OLMo-1B", "OLMo-1B-step737000"):
        shutil.copytree(runs / "tiny" / "hf", models / name)
        save_file({"a": np.zeros(2, np.float32)}, models / name / "model.safetensors")
    for name in ("document", "sentence"):
        (models / f"jigsaw_hatespeech_{name}.bin").write_text(name)
    shutil.copytree(models, folder / "examples" / "models")
    shutil.copytree(runs / "demo", runs / "slung")
    shutil.copytree(runs / "dose-10", runs / "slung-toxic")


def fingerprints(file: Path) -> dict[str, str]:
    """Of an example: its own, or where it is a study those of all its steps by kind, each on the made-up artifacts."""
    kind, spec, _ = load(file, [])
    if kind != "study":
        return {kind: KINDS.get(kind).fingerprint(spec)}
    steps = steps_of(spec)
    runs = file.parents[1] / "runs"
    paths = {step.name: runs / FOLDERS[step.kind] for step in steps if step.kind in FOLDERS}
    of_steps: dict[str, list[str]] = {}
    for step in steps:
        of_steps.setdefault(step.kind, []).append(KINDS.get(step.kind).fingerprint(step.make(paths)))
    return {step_kind: sha256(*values) for step_kind, values in of_steps.items()}


def sha256(*chunks: bytes | str) -> str:
    """SHA-256 of the chunks, one after the other."""
    content = b"".join(chunk.encode() if isinstance(chunk, str) else chunk for chunk in chunks)
    return hashlib.sha256(content).hexdigest()


def curation_of(folder: Path) -> dict[str, Any]:
    """Bytes of a corpus without scores; of the others documents and spans to the byte, and their scores as numbers."""
    seen: dict[str, Any] = {"plain": sha256((folder / "corpora" / "plain" / "00000.parquet").read_bytes())}
    for name in ("clean", "forum"):
        rows = pq.read_table(folder / "corpora" / name).to_pylist()
        scores = [score for row in rows for _, score in row.pop("scores")]
        scores += [span.pop("score") for row in rows for span in row["spans"]]
        seen[name] = {"documents": sha256(json.dumps(rows, sort_keys=True)), "scores": summary(scores)}
    excluded = sorted(folder.glob("excluded/**/*.parquet"))
    removed = [pq.read_table(path).select(["id", "text", "step"]).to_pylist() for path in excluded]
    return seen | {"removed": sha256(json.dumps(removed, sort_keys=True))}


def summary(numbers: list[float]) -> list[float]:
    """Count, sum, and sum weighted by rank: another order or another number changes one of them."""
    values = np.asarray(numbers, np.float64)
    return [float(len(values)), float(values.sum()), float((values * np.arange(len(values))).mean())]


def mixture_of(folder: Path) -> dict[str, str]:
    """Bytes of all token files, risk twins and the tokenizer."""
    files = sorted([*folder.glob("**/*.bin"), *folder.glob("**/*.idx"), folder / "tokenizer" / "tokenizer.json"])
    return {path.relative_to(folder).as_posix(): sha256(path.read_bytes()) for path in files}


def training_of(folder: Path) -> dict[str, Any]:
    """The order of the samples (documents, spans, tokens), the model's configuration, and the numbers of the log."""
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    samples = [trace_sample(folder, number, 0, 0, True) for number in range(4)]
    return {
        "samples": sha256(*(repr(table.rows) for tables in samples for table in tables)),
        "config": sha256((folder / "hf" / "config.json").read_bytes()),
        "log": [{key: line[key] for key in ("loss", "grad_norm", "cross_entropy") if key in line} for line in log],
    }


def compare(name: str, seen: Any) -> None:
    """Hold what is seen today against the record, or record it."""
    record = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    if os.environ.get("HORMESIS_RECORD"):
        RECORD.write_text(json.dumps({**record, name: seen}, indent=1, sort_keys=True) + "\n")
        return
    assert name in record, f"{name} is not recorded yet; {ADVICE}"
    different = differences(record[name], seen)
    assert not different, f"{name} is no longer what was recorded: {'; '.join(different)}. {ADVICE}"


def differences(recorded: Any, seen: Any, where: str = "") -> list[str]:
    """Where two values differ; numbers may by a hundred-thousandth of themselves."""
    if isinstance(recorded, dict) and isinstance(seen, dict):
        keys = sorted(recorded.keys() | seen.keys())
        return [line for key in keys for line in differences(recorded.get(key), seen.get(key), f"{where}.{key}")]
    if isinstance(recorded, list) and isinstance(seen, list) and len(recorded) == len(seen):
        pairs = enumerate(zip(recorded, seen, strict=True))
        return [line for index, pair in pairs for line in differences(*pair, f"{where}[{index}]")]
    same = seen == pytest.approx(recorded, rel=1e-5) if isinstance(recorded, float) else seen == recorded
    return [] if same else [f"{where.lstrip('.')} was {recorded} and is {seen}"]


@pytest.mark.parametrize("name", EXAMPLES)
def test_fingerprints_of_the_examples_are_as_recorded(world: Path, name: str) -> None:
    compare(f"examples/{name}", fingerprints(world / "examples" / name))


def test_the_chain_has_the_fingerprints_that_are_recorded(world: Path) -> None:
    runs = {kind: world / "runs" / folder / "artifact.json" for kind, folder in FOLDERS.items()}
    compare("chain", {kind: json.loads(file.read_text())["fingerprint"] for kind, file in runs.items()})


def test_a_curation_has_the_bytes_that_are_recorded(world: Path) -> None:
    compare("curation", curation_of(world / "runs" / "demo"))


def test_a_mixture_has_the_bytes_that_are_recorded(world: Path) -> None:
    compare("mixture", mixture_of(world / "runs" / "dose-10"))


def test_a_training_sees_the_samples_and_has_the_losses_that_are_recorded(world: Path) -> None:
    compare("training", training_of(world / "runs" / "tiny"))
