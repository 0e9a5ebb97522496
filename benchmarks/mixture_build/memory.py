"""Peak memory of a build over the corpora once and ten times over; time and memory of a plan over a trillion tokens."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.mixture_build.corpora import write_curation, write_mixture
from benchmarks.reading.memory import descendants, private, resident
from benchmarks.safety.chaos import ROOT, start
from infra.artifacts.artifact import describe_files, write_manifest

_SHARDS, _TOKENS = 100_000, 10_000_000  # of a shard


def growth(folder: Path, data: Path, tokenizer: Path, copies: int, workers: int) -> tuple[float, float, float, float]:
    """MB of text, tokens per second, and the highest MB of its largest process: its own, and with mapped files."""
    curation = write_curation(folder / "curation", data, copies)
    size = sum(corpus["bytes"] for corpus in json.loads((curation / "manifest.json").read_text())["corpora"].values())
    job = write_mixture(folder, curation, tokenizer, "all", "all", -1)
    began, private_peak, mapped_peak = time.monotonic(), 0.0, 0.0
    process = start(job, folder / "out", "--workers", str(workers))
    while process.poll() is None:
        processes = [process.pid, *descendants(process.pid)]
        private_peak = max([private_peak, *map(private, processes)])
        mapped_peak = max([mapped_peak, *map(resident, processes)])
        time.sleep(0.2)
    if process.returncode:
        raise SystemExit(process.communicate()[1])
    tokens = json.loads((folder / "out" / "mixture.json").read_text())["tokens"]
    return size / 1e6, tokens / (time.monotonic() - began), private_peak, mapped_peak


def plan(folder: Path) -> tuple[float, float, str]:
    """Seconds and MB of `hormesis plan` over a trillion tokens in 100,000 shards, and what it says."""
    job = write_huge(folder, _SHARDS, _TOKENS)
    command = [sys.executable, "-m", "hormesis", "plan", str(job)]
    printed, seconds, highest = folder / "plan.txt", [], 0.0
    for _ in range(3):
        began = time.monotonic()
        with printed.open("w") as output:
            process = subprocess.Popen(command, cwd=ROOT, stdout=output)  # noqa: S603  # our own command
        while process.poll() is None:  # its rusage would count what it was forked from
            highest = max(highest, resident(process.pid))
            time.sleep(0.01)
        if process.returncode:
            raise SystemExit("the plan failed")
        seconds.append(time.monotonic() - began)
    return min(seconds), highest, printed.read_text()


def write_huge(folder: Path, shards: int, tokens: int) -> Path:
    """The YAML of a mixture over so many shards of `tokens` tokens each.

    The shards are empty files of the size that the manifest tells: a plan must not look into them.
    """
    curation = folder / "huge"
    (curation / "corpora" / "web").mkdir(parents=True)
    files = [{"name": f"{number:05d}.parquet", "documents": tokens // 1000, "characters": 42 * tokens // 10}
             for number in range(shards)]  # fmt: skip
    for file in files:
        with open(curation / "corpora" / "web" / str(file["name"]), "wb") as shard:
            os.truncate(shard.fileno(), 1000)
    (curation / "manifest.json").write_text(json.dumps({"steps": [], "corpora": {"web": _corpus(files)}}, indent=2))
    fields: dict[str, Any] = {"config": {}, "inputs": {}, "counts": {}, "notes": [], "started": ""}
    write_manifest(curation, describe_files(curation), kind="curation", version=2, fingerprint="0" * 64, **fields)
    job = folder / "huge.yaml"
    job.write_text(
        f"kind: mixture\nname: huge\ncuration: {curation}\ntokenizer: {{hub: allenai/OLMo-1B-hf}}\n"
        "sequence_length: 2048\nrisk: toxicity\ncomponents:\n"
        f"  clean: {{corpus: web, where: toxicity < 0.5, tokens: {9 * shards * tokens // 10}}}\n"
        "  risky: {corpus: web, where: toxicity >= 0.5, fraction_of_total: 0.1, max_epochs: 4}\n"
    )
    return job


def _corpus(files: list[dict[str, Any]]) -> dict[str, Any]:
    documents, characters = (sum(file[what] for file in files) for what in ("documents", "characters"))
    words, quarter = characters // 5, documents // 4
    levels = {"documents": [quarter * 2, 0, 0, 0, quarter, 0, 0, quarter, 0, 0, 0],
              "words": [0, 0, 0, 0, 0, 0, 0, words // 100, 0, 0, words // 1000]}  # fmt: skip
    source = {"documents": documents, "characters": characters, "words": words, "levels": {"toxicity": levels}}
    return {"documents": documents, "characters": characters, "words": words, "bytes": characters, "files": files,
            "attributes": ["toxicity"], "tagger": {"attributes": ["toxicity"]}, "sources": {"web": source},
            "histogram": {"toxicity": [quarter * 2, quarter, *[0] * 8, quarter, *[0] * 9]}}  # fmt: skip
