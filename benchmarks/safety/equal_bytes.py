"""Real corpora through every kind of step, on 1, 2 and 4 workers, local and on Ray: is every byte the same?

    python -m benchmarks.safety.equal_bytes [--data ../shared/data] [--out runs/equal_bytes] [--documents 3000]
    [--whole]

Language, exact and MinHash deduplication, `profanity`, a cascade (fastText, then a fine-tuned classifier), a trained
`lexical` tagger and a trained `transformer` tagger over clean modern text, 4chan's posts and toxic comments. The
taggers learn from SemEval's small trial split, as how good they are does not matter here; with the classifier, training
takes about 10 minutes on one core, once for --out. --documents is the most of each corpus; --whole adds a run over all
of it on two Ray workers.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.safety.chaos import ROOT, contents, finish, raylets, start
from infra.atomic import write_text

sys.path.insert(
    0, str(ROOT / "benchmarks" / "scoring")
)  # token_quality.py is run as a script, and finds classifier.py beside it

RESULT = ROOT / "benchmarks" / "results" / "equal_bytes.md"
WORKERS = (1, 2, 4)
YAML = """\
kind: curation
name: equal-bytes
shard_documents: 1000
corpora:
  clean: {{sources: [{{path: "{data}/clean_modern/clean_modern.jsonl.gz"}}]{limit}}}
  forum: {{sources: [{{path: "{data}/fourchan/posts.jsonl.gz"}}]{limit}}}
  comments: {{sources: [{{path: "{data}/toxic_corpus/toxic_comments.jsonl.gz"}}]{limit}}}
steps:
  - {{step: language, languages: [en], language_threshold: 0.5, corpora: [clean]}}
  - {{step: exact_dedup}}
  - {{step: minhash, n_grams: 5, num_buckets: 14, hashes_per_bucket: 8}}
  - {{step: score, scorer: {{name: profanity}}}}
  - step: cascade
    corpora: [forum]
    gate: {{name: fasttext, model: "{models}/fasttext", labels: {{toxicity: toxic}}}}
    scorer: {{name: transformers, model: minilm-jigsaw, folder: "{models}/classifier", precision: float32}}
    risky: [toxicity]
    prefix: deep_
    survey: 2000
  - {{step: tag, tagger: {{name: lexical, path: "{models}/lexical"}}}}
  - {{step: tag, tagger: {{name: transformer, path: "{models}/transformer"}}, corpora: [forum], prefix: deep_}}
  - {{step: statistics}}
"""


@dataclass(frozen=True)
class Run:
    """One run of the grid."""

    where: str
    workers: int
    seconds: float
    files: dict[str, str]


def models(data: Path, folder: Path) -> None:
    """Train the four models, each unless it is there."""
    from classifier import classifier
    from token_quality import tagger_spec, trained

    from curation.training.fasttext.spec import FasttextStageSpec
    from curation.training.fasttext.stage import FASTTEXT
    from infra.config.spec import load_spec
    from infra.stages.stage import run_stage

    folder.mkdir(parents=True, exist_ok=True)
    for size in ("lexical", "transformer"):
        trained(tagger_spec(size, str(data / "toxic_spans" / "semeval2021_trial.jsonl.gz")), folder / size)
    classifier(data, folder / "classifier")
    _, spec = load_spec(
        ROOT / "benchmarks" / "studies" / "fasttext-toxic.yaml", {"fasttext": lambda: FasttextStageSpec}
    )
    run_stage(FASTTEXT, spec, folder / "fasttext")


def run(job: Path, out: Path, workers: int, ray: str | None = None) -> Run:
    """Curate, and take the checksums of all files."""
    shutil.rmtree(out, ignore_errors=True)
    began = time.monotonic()
    finish(start(job, out, "--workers", str(workers), *(("--ray", ray) if ray else ())))
    return Run("Ray" if ray else "local", workers, time.monotonic() - began, contents(out))


def write_job(path: Path, data: Path, models: Path, documents: int | None) -> Path:
    """The YAML, with at most `documents` of each corpus."""
    limit = f", limit: {documents}" if documents else ""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(YAML.format(data=data, models=models, limit=limit))
    return path


def grid(job: Path, folder: Path, address: str) -> list[Run]:
    """Local and Ray, each with 1, 2 and 4 workers."""
    runs = []
    for ray in (None, address):
        for workers in WORKERS:
            runs.append(run(job, folder / f"{'ray' if ray else 'local'}-{workers}", workers, ray))
            print(runs[-1].where, workers, f"{runs[-1].seconds:.0f} s", runs[-1].files == runs[0].files, flush=True)
    return runs


def counted(out: Path) -> str:
    """What a run read, removed and kept, as a Markdown table."""
    manifest: dict[str, Any] = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    rows = "".join(
        f"| {name} | {corpus['documents']:,} | {corpus['characters']:,} | {json.dumps(corpus['removed'])} |\n"
        for name, corpus in manifest["corpora"].items()
    )
    return f"| corpus | documents kept | characters | removed |\n|---|---|---|---|\n{rows}"


def report(runs: list[Run], whole: Run | None, folder: Path, documents: int) -> str:
    """The figures as Markdown."""
    rows = "".join(f"| {result.where} | {result.workers} | {result.seconds:.0f} | {len(result.files)} | "
                   f"{'yes' if result.files == runs[0].files else '**no**'} |\n" for result in runs)  # fmt: skip
    text = (f"# Equal bytes\n\n`python -m benchmarks.safety.equal_bytes --documents {documents}"
            f"{' --whole' if whole else ''}`: at most {documents:,} documents of each corpus.\n\n"
            "| where | workers | seconds | files | equal to the first |\n|---|---|---|---|---|\n"
            f"{rows}\n{counted(folder / 'local-1')}")  # fmt: skip
    if whole:
        text += f"\nAll documents on two Ray workers, {whole.seconds:.0f} s:\n\n{counted(folder / 'whole')}"
    return text


def main() -> None:
    """Train, run the grid, compare. Exit 1 when a byte differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--out", type=Path, default=Path("runs/equal_bytes"))
    parser.add_argument("--documents", type=int, default=3000)
    parser.add_argument("--whole", action="store_true", help="also all documents, on two Ray workers")
    options = parser.parse_args()
    data, out = options.data.resolve(), options.out.resolve()
    trained = out / "models"
    models(data, trained)
    with raylets(nodes=2, cpus=2) as cluster:
        runs = grid(write_job(out / "job.yaml", data, trained, options.documents), out, cluster.address)
        whole = None
        if options.whole:
            job = write_job(out / "whole.yaml", data, trained, None)
            whole = run(job, out / "whole", 2, cluster.address)
    write_text(RESULT, report(runs, whole, out, options.documents))
    print(RESULT.read_text())
    if any(result.files != runs[0].files for result in runs):
        raise SystemExit("a byte differs")


if __name__ == "__main__":
    main()
