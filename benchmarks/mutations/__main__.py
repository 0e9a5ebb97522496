"""2,000 mutated YAML files through `validate` and `plan`: one answer each, with file:line, within five seconds.

    python -m benchmarks.mutations [--files 2000] [--seed 0] [--real 40]

Every example is mutated in turn, on the level of its text or of its values, in a checkout where what it names exists.
Answers come from the command's own entry point in worker processes, and for some files from the real command. Leaves
with 1 where there is a traceback, an answer takes longer, or a refusal names no line and should.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from benchmarks.mutations.inputs import ROOT, copied, fill, shipped
from benchmarks.mutations.judge import MOST_SECONDS, WITHOUT_LINE, Answer, answer, fault_of, without_network
from benchmarks.mutations.mutate import mutated

RESULT = ROOT / "benchmarks" / "results" / "mutations.md"
VERBS = ("validate", "plan")
_TRIES = 3  # for an answer that takes long, as other work on the machine slows it down


def ask(root: Path, seed: int, number: int) -> tuple[str, list[Answer]]:
    """The kind of mutation `number`, and what both verbs answer to it."""
    files = shipped(root)
    mutation = mutated(files[number % len(files)], random.Random(f"{seed} {number}"))
    file = files[number % len(files)].with_name(f"mutated-{seed}-{number}.yaml")
    file.write_bytes(mutation.content)
    answers = [_quickest(verb, file) for verb in VERBS]
    if not any(each.fault for each in answers):
        file.unlink()
    return mutation.kind, answers


def _quickest(verb: str, file: Path) -> Answer:
    tried: list[Answer] = []
    while not tried or (tried[-1].seconds > MOST_SECONDS and len(tried) < _TRIES):
        tried.append(answer(verb, file))
    return min(tried, key=lambda each: each.seconds)


def really(root: Path, seed: int, number: int) -> list[Answer]:
    """The same by the real command."""
    files = shipped(root)
    file = files[number % len(files)].with_name("mutated.yaml")
    file.write_bytes(mutated(files[number % len(files)], random.Random(f"{seed} {number}")).content)
    return [_real(verb, file) for verb in VERBS]


def _real(verb: str, file: Path) -> Answer:
    began = time.monotonic()
    command = [sys.executable, "-m", "hormesis", verb, file]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603
    seconds = time.monotonic() - began
    return Answer(verb, done.returncode, done.stderr, seconds, fault_of(file, done.returncode, done.stderr, seconds))


def report(kinds: Counter[str], answers: list[Answer], real: list[Answer], seed: int) -> str:
    """The result page."""
    alone = Counter(reason for each in answers for reason in WITHOUT_LINE
                    if any(reason in line and ".yaml:" not in line.replace(".yaml: ", "") for line in each.message.splitlines()))  # fmt: skip
    slow = max(answers, key=lambda each: each.seconds)
    rows = "".join(
        f"| {name} | {len(some)} | {sum(each.code == 0 for each in some)} | {sum(each.code != 0 for each in some)} "
        f"| {max((each.seconds for each in some), default=0):.1f} | {sum(bool(each.fault) for each in some)} |\n"
        for name, some in [*((verb, [each for each in answers if each.verb == verb]) for verb in VERBS),
                           ("both, by the real command", real)]
    )  # fmt: skip
    return (
        f"# Mutated YAML files\n\n`python -m benchmarks.mutations --files {kinds.total()} --seed {seed}`, over all examples. "
        f"A fault is a traceback, more than {MOST_SECONDS:g} s, or a refusal without file:line.\n\n"
        "| asked | answers | right | refused | slowest, s | faults |\n|---|---:|---:|---:|---:|---:|\n" + rows
        + f"\nThe slowest answer is to `{slow.verb}`. Refusals that name the file alone: "
        + ("; ".join(f"{count} × “{reason}” ({WITHOUT_LINE[reason]})" for reason, count in sorted(alone.items())) or "none")
        + ".\n\n| mutation | files |\n|---|---:|\n"
        + "".join(f"| {kind} | {count} |\n" for kind, count in sorted(kinds.items()))
    )  # fmt: skip


def main() -> int:
    """Ask, print the faults, write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--real", type=int, default=40, help="files that also go through the real command")
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    without_network()
    with tempfile.TemporaryDirectory() as folder:
        root = copied(Path(folder))
        fill(root)
        numbers = range(given.files)
        with ProcessPoolExecutor() as pool:
            results = list(
                pool.map(ask, *zip(*((root, given.seed, number) for number in numbers), strict=True), chunksize=20)
            )
        real = [
            each
            for number in numbers[:: max(1, given.files // max(1, given.real))]
            for each in really(root, given.seed, number)
        ]
    answers = [each for _, some in results for each in some]
    page = report(Counter(kind for kind, _ in results), answers, real, given.seed)
    faults = [(kind, each) for kind, some in [*results, ("by the real command", real)] for each in some if each.fault]
    for kind, each in faults:
        print(f"{kind}: {each.verb}: {each.fault}")
    given.out.write_text(page)
    print(page)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
