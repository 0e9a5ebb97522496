"""Memory of a curation's processes: a large file, many documents, one enormous document.

    python -m benchmarks.reading.memory [--workers 2] [--scale 1.0]

Runs `hormesis run` on made input and looks at every process of it twice a second. `--scale 0.01` is a quick look.
Growth is the largest process's highest resident size in the last quarter of the time less that in the second quarter.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.safety.chaos import ROOT, WORDS, start

RESULT = ROOT / "benchmarks" / "results" / "memory.md"
SCORED = """\
  - {step: score, scorer: {name: profanity}}
  - {step: tag, tagger: {name: words, scorer: {name: profanity}, keep_at_or_above: 0.05}}
"""


@dataclass(frozen=True)
class Case:
    """One input: `documents` of `words` words each over `files` files, and the steps that it goes through."""

    name: str
    files: int
    documents: int
    words: int
    steps: str = ""


CASES = (
    Case("one file of 2 GB, read and written", 1, 1_000_000, 370),
    Case("1 M short documents, scored and tagged", 50, 1_000_000, 12, SCORED),
    Case("one document of 5 M words, scored and tagged", 1, 1, 5_000_000, SCORED),
)


@dataclass
class Seen:
    """Resident sizes in MB by moment: of the command, and of the largest process, which may be the command itself."""

    command: list[float] = field(default_factory=list)
    largest: list[float] = field(default_factory=list)

    def growth(self) -> float:
        """Last quarter against second quarter."""
        quarter = max(1, len(self.largest) // 4)
        return max(self.largest[-quarter:]) - max(self.largest[quarter : 2 * quarter] or self.largest)


def write_case(folder: Path, case: Case) -> int:
    """Made input and its YAML; returns the input's bytes."""
    draw, words = random.Random(0), WORDS.split()
    (folder / "data").mkdir(parents=True)
    for number in range(case.files):
        with open(folder / "data" / f"{number:03d}.jsonl", "w") as out:
            for _ in range(case.documents // case.files):
                out.write(json.dumps({"text": _text(draw, words, case.words)}) + "\n")
    steps = f"steps:\n{case.steps}" if case.steps else "steps: []\n"
    (folder / "job.yaml").write_text(
        f"kind: curation\nname: job\ncorpora:\n  it: {{sources: [{{path: 'data/*.jsonl'}}]}}\n{steps}"
    )
    return sum(file.stat().st_size for file in (folder / "data").iterdir())


def _text(draw: random.Random, words: list[str], count: int) -> str:
    """`count` words; long texts repeat a passage, since drawing 2 GB of words takes longer than reading them."""
    passage = " ".join(draw.choices(words, k=min(count, 40))) + " "
    return (passage * (count // 40 + 1))[: 6 * count].rstrip() or passage


def watch(folder: Path, workers: int) -> tuple[Seen, float]:
    """Run the case; returns what was seen and the seconds it took."""
    seen, began = Seen(), time.monotonic()
    process = start(folder / "job.yaml", folder / "out", "--workers", str(workers))
    while process.poll() is None:
        seen.command.append(resident(process.pid))
        seen.largest.append(max([seen.command[-1], *map(resident, descendants(process.pid))]))
        time.sleep(0.5)
    if process.returncode:
        raise SystemExit(process.communicate()[1])
    return seen, time.monotonic() - began


def resident(pid: int) -> float:
    """MB of a process in memory; 0 when it has ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) / 1000
    return 0.0


def private(pid: int) -> float:
    """MB of a process that are its own: not those of files, which the kernel can take back at any time."""
    with contextlib.suppress(OSError):
        lines = (line.split() for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        return sum(int(line[1]) for line in lines if line[0] in ("RssAnon:", "RssShmem:")) / 1000
    return 0.0


def descendants(pid: int) -> Iterator[int]:
    """Children of a process and theirs."""
    with contextlib.suppress(OSError):
        for file in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in map(int, file.read_text().split()):
                yield child
                yield from descendants(child)


def main() -> None:
    """Run every case and write the figures down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the documents, or of the last case's words")
    parser.add_argument("--only", type=int, help="number of the only case to run, from 0")
    options = parser.parse_args()
    rows = []
    for case in CASES if options.only is None else CASES[options.only : options.only + 1]:
        scaled = _scaled(case, options.scale)
        with tempfile.TemporaryDirectory() as name:
            size = write_case(Path(name), scaled)
            seen, seconds = watch(Path(name), options.workers)
        rows.append(_row(scaled, size, seen, seconds))
        print(rows[-1], flush=True)
    columns = "| input | documents | MB | seconds | docs/s | largest process MB | command MB | growth MB |\n"
    command = f"python -m benchmarks.reading.memory --workers {options.workers} --scale {options.scale:g}"
    about = f"`{command}`: highest resident sizes; growth as `--help` says."
    text = f"# Memory\n\n{about}\n\n{columns}|{'---|' * 8}\n" + "".join(rows)
    RESULT.write_text(text)
    print(text)


def _scaled(case: Case, scale: float) -> Case:
    if case.documents == 1:
        return Case(case.name, 1, 1, int(case.words * scale), case.steps)
    return Case(case.name, case.files, int(case.documents * scale), case.words, case.steps)


def _row(case: Case, size: int, seen: Seen, seconds: float) -> str:
    speed, largest, command = case.documents / seconds, max(seen.largest), max(seen.command)
    figures = (case.documents, size / 1e6, seconds, speed, largest, command, seen.growth())
    return f"| {case.name} | " + " | ".join(f"{figure:,.0f}" for figure in figures) + " |\n"


if __name__ == "__main__":
    main()
