"""Keep what a study found beside the benchmarks: `python benchmarks/keep_study.py runs/real --note "where it ran"`.

Writes `benchmarks/results/NAME.md` (held-out cross-entropies, and what `hormesis show` prints), `NAME.png`, and `NAME/`
with the tables as Parquet and the answer as JSON. Generated texts are not kept.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
HEAD = (
    "model",
    "tokens",
    "clean CE",
    "clean unigram",
    "risky CE",
    "risky unigram",
    "CE of its risky tokens",
    "tokens/s",
)


def main() -> None:
    """Copy the tables and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", type=Path, help="folder of a finished study")
    parser.add_argument("--note", default="", help="machine, time, memory: what a reader must know of this run")
    options = parser.parse_args()
    print(keep(options.study, options.note))


def keep(study: Path, note: str) -> Path:
    """Copy the tables and write the page; returns where it is."""
    name = json.loads((study / "artifact.json").read_text())["config"]["name"]
    folder = RESULTS / name
    folder.mkdir(parents=True, exist_ok=True)
    for file in (*study.glob("tables/*.parquet"), study / "answer.json"):
        shutil.copy(file, folder / file.name)
    shutil.copy(study / "dose_response.png", RESULTS / f"{name}.png")
    (RESULTS / f"{name}.md").write_text(page(name, study, note))
    return RESULTS / f"{name}.md"


def page(name: str, study: Path, note: str) -> str:
    """The Markdown page of a study."""
    return "\n".join((
        f"# The study `{name}`", "", note, "", "Read the intervals, not the points.", "",
        f"![dose-response]({name}.png)", "",
        "Held-out cross-entropy (nats per token) beside the unigram cross-entropy:", "", *held_out(study), "",
        f"What `hormesis show` prints (the same tables as Parquet in `{name}/`):", "", "```", shown(study), "```", "",
    ))  # fmt: skip


def held_out(study: Path) -> list[str]:
    """One row a model, as Markdown."""
    rows = ["| " + " | ".join(HEAD) + " |", "|---" + "|---:" * (len(HEAD) - 1) + "|"]
    for name, folder in trainings(study):
        rows.append("| " + " | ".join(_row(name, json.loads((folder / "pretrain.json").read_text()))) + " |")
    return rows


def trainings(study: Path) -> list[tuple[str, Path]]:
    """Names and folders of the study's own trainings: other studies may have theirs beside them."""
    steps = json.loads((study / ".steps.json").read_text())
    return [(step["name"], study / "steps" / step["detail"]) for step in steps
            if step["name"].startswith("pretrain-") and step["state"] == "done"]  # fmt: skip


def _row(step: str, record: dict[str, Any]) -> list[str]:
    clean, risky = record["held_out"]["clean"], record["held_out"]["risky"]
    return [
        step.removeprefix("pretrain-"), f"{record['tokens']:,}",
        f"{clean['cross_entropy']:.3f}", f"{clean['unigram_cross_entropy']:.3f}",
        f"{risky['cross_entropy']:.3f}", f"{risky['unigram_cross_entropy']:.3f}",
        f"{risky['risky_cross_entropy']:.3f}", f"{record['tokens_per_second']:,.0f}",
    ]  # fmt: skip


def shown(study: Path) -> str:
    """What `hormesis show` prints."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "hormesis", "show", str(study), "--out", f"{folder}/page.html"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    lines = [line.rstrip() for line in done.stdout.splitlines() if not line.startswith("page: ")]
    return "\n".join(lines).strip("\n")


if __name__ == "__main__":
    main()
