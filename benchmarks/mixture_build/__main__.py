"""Building mixtures: how fast, in how much memory, and whether kills, workers or Ray change a byte.

    python -m benchmarks.mixture_build [--data ../shared/data] [--parts speed bytes memory plan]

Speed is in processor time on one core, the median of interleaved rounds. Kept: benchmarks/results/mixture_build.md.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import tempfile
from pathlib import Path

from benchmarks.mixture_build import memory, same_bytes, speed
from benchmarks.mixture_build.corpora import write_curation
from benchmarks.safety.chaos import ROOT

RESULT = ROOT / "benchmarks" / "results" / "mixture_build.md"


def main() -> None:
    """Run the parts that are asked for and write the figures down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--parts", nargs="*", default=["speed", "bytes", "memory", "plan"])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--documents", type=int, default=4000, help="of each corpus, for the speed")
    parser.add_argument("--copies", type=int, default=10, help="of the corpora, for the memory")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-ray", action="store_true")
    options = parser.parse_args()
    tokenizer = options.data / "tokenizers" / "olmo-1b.tokenizer.json"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if "speed" in options.parts:
            curation = write_curation(folder / "speed" / "curation", options.data, max_documents=options.documents)
            _speed(speed.measure(folder / "speed", curation, tokenizer, options.rounds))
        if "bytes" in options.parts:
            curation, target = write_curation(folder / "curation", options.data), _made(folder / "bytes")
            _bytes(same_bytes.measure(target, curation, tokenizer, 11_000_000, options.seed, not options.no_ray))
        if "memory" in options.parts:
            _memory([(copies, *memory.growth(_made(folder / f"x{copies}"), options.data, tokenizer, copies, 1))
                     for copies in (1, options.copies)])  # fmt: skip
        if "plan" in options.parts:
            _plan(*memory.plan(folder))


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def _speed(rows: list[tuple[str, float, float, float]]) -> None:
    head = "| one core, the OLMo-1B tokenizer | tokens/s | of encode_batch | of datatrove |\n|---|---|---|---|\n"
    body = "".join(f"| {name} | {rate:,.0f} | {limit:.2f} | {peer:.2f} |\n" for name, rate, limit, peer in rows)
    _keep("Speed", head + body)


def _bytes(rows: list[same_bytes.Row]) -> None:
    doses = ", ".join(f"{dose:.0%}" for dose in same_bytes.DOSES)
    about = (
        f"Doses {doses} over clean_modern, 4chan and toxic comments, killed with SIGKILL at random moments and run "
        "again, against one undisturbed run on one worker.\n\n"
    )
    head = "| run on | kills | seconds | files compared | all bytes equal |\n|---|---|---|---|---|\n"
    _keep("Bytes", about + head + "".join("| " + " | ".join(map(str, row)) + " |\n" for row in rows))
    if not all(row[-1] for row in rows):
        raise SystemExit("a byte differs")


def _memory(rows: list[tuple[int, float, float, float, float]]) -> None:
    columns = ("corpora", "MB of text", "tokens/s, one worker", "highest MB of memory", "with mapped files")
    head = f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|\n"
    text = "".join(f"| × {copies} | {size:,.0f} | {rate:,.0f} | {private:,.0f} | {mapped:,.0f} |\n"
                   for copies, size, rate, private, mapped in rows)  # fmt: skip
    _keep("Memory", head + text)


def _plan(seconds: float, megabytes: float, printed: str) -> None:
    about = (
        f"A trillion tokens in 100,000 shards: {seconds:.2f} s (the whole command, best of three), {megabytes:,.0f} MB."
    )
    _keep("Plan", f"{about}\n\n```\n{printed.strip()}\n```\n")


def _keep(section: str, text: str) -> None:
    """Replace one section of the kept results."""
    known = RESULT.read_text(encoding="utf-8") if RESULT.exists() else "# Building mixtures\n"
    head, *sections = re.split(r"(?m)^(?=## )", known)
    others = [other for other in sections if not other.startswith(f"## {section}\n")]
    made = (
        f"## {section}\n\n{text}\n`python -m benchmarks.mixture_build --parts {section.lower()}` on {_machine()}.\n\n"
    )
    RESULT.write_text(head.rstrip() + "\n\n" + "".join(sorted([*others, made])).rstrip() + "\n", encoding="utf-8")
    print(made, flush=True)


def _machine() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(errors="replace").splitlines() if cpuinfo.is_file() else []
    names = {line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")}
    return f"{', '.join(sorted(names)) or platform.processor()}, {os.cpu_count()} cores"


if __name__ == "__main__":
    main()
