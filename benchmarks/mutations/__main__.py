"""2,000 mutated YAML files through `validate` and `plan`: one answer each, with file:line, in five seconds.

    python -m benchmarks.mutations [--files 2000] [--seed 0] [--real 40]

Every example is mutated in turn, on the level of its text or of its values, in a checkout where what it names exists.
Answers come from the command's own entry point in worker processes, and for some files from the real command. Leaves
with 1 where there is a traceback, an answer takes longer, or a refusal names no line and should.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.mutations.inputs import ROOT, copied, fill, shipped
from benchmarks.mutations.judge import (
    OFFLINE,
    SECONDS_LIMIT,
    WITHOUT_LINE,
    Answer,
    answer,
    fault_of,
    processor,
    reason_alone,
)
from benchmarks.mutations.mutate import mutated

RESULT = ROOT / "benchmarks" / "results" / "mutations.md"
VERBS = ("validate", "plan")


@dataclass(frozen=True)
class Result:
    """One answer to file `number`; `alone` are the reasons of refusals that name the file and no line."""

    number: int
    mutation: str
    answer: Answer
    alone: tuple[str, ...]
    real: bool = False


def ask(root: Path, seed: int, number: int) -> list[Result]:
    """What both verbs answer to file `number`, in this process."""
    mutation, file = _written(root, seed, number)
    answers = [answer(verb, file) for verb in VERBS]
    file.unlink()
    return [Result(number, mutation, reply, _alone(file, reply)) for reply in answers]


def really(root: Path, seed: int, number: int) -> list[Result]:
    """The same by the real command."""
    mutation, file = _written(root, seed, number)
    answers = [_real(verb, file) for verb in VERBS]
    file.unlink()
    return [Result(number, mutation, reply, _alone(file, reply), real=True) for reply in answers]


def _written(root: Path, seed: int, number: int) -> tuple[str, Path]:
    """The kind of mutation `number`, and its file, beside the one that was mutated."""
    files = shipped(root)
    original = files[number % len(files)]
    mutation = mutated(original, random.Random(f"{seed} {number}"))
    file = original.with_name(f"mutated-{number}.yaml")
    file.write_bytes(mutation.content)
    return mutation.kind, file


def _alone(file: Path, answer: Answer) -> tuple[str, ...]:
    return tuple(reason for line in answer.message.splitlines() if (reason := reason_alone(file, line)))


def _real(verb: str, file: Path) -> Answer:
    began = processor()
    command = [sys.executable, "-m", "hormesis", verb, file]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603
    seconds = processor() - began
    return Answer(verb, done.returncode, done.stderr, seconds, fault_of(file, done.returncode, done.stderr, seconds))


def report(results: list[Result], seed: int) -> str:
    """The result page."""
    mutations = Counter(result.mutation for result in results if not result.real)
    groups = {
        verb: [result.answer for result in results if result.answer.verb == verb and not result.real] for verb in VERBS
    }
    groups |= {"both, by the real command": [result.answer for result in results if result.real]}
    alone = Counter(reason for result in results for reason in result.alone)
    return (
        "# Mutated YAML files\n\n"
        f"`python -m benchmarks.mutations --files {mutations.total() // 2} --seed {seed}`, over all "
        f"examples. A fault is a traceback, more than {SECONDS_LIMIT:g} s, or a refusal without file:line.\n\n"
        "| asked | answers | right | refused | slowest, s of the processor | faults |\n|---|---:|---:|---:|---:|---:|\n"
        + "".join(_row(name, answers) for name, answers in groups.items())
        + "\n| refusals that name the file alone | times | why |\n|---|---:|---|\n"
        + "".join(f"| {reason} | {count} | {WITHOUT_LINE[reason]} |\n" for reason, count in sorted(alone.items()))
        + "\n| mutation | files |\n|---|---:|\n"
        + "".join(f"| {name} | {count // 2} |\n" for name, count in sorted(mutations.items()))
    )


def _row(name: str, answers: list[Answer]) -> str:
    right, slowest = sum(reply.code == 0 for reply in answers), max(reply.seconds for reply in answers)
    faults = sum(bool(reply.fault) for reply in answers)
    return f"| {name} | {len(answers)} | {right} | {len(answers) - right} | {slowest:.1f} | {faults} |\n"


def main() -> int:
    """Ask, print the faults, write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--real", type=int, default=40, help="files that also go through the real command")
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    os.environ |= OFFLINE
    with tempfile.TemporaryDirectory() as folder:
        root = copied(Path(folder))
        fill(root)
        with ProcessPoolExecutor() as pool:
            asked = partial(ask, root, options.seed)
            results = [
                result
                for file_results in pool.map(asked, range(options.files), chunksize=20)
                for result in file_results
            ]
        for number in range(0, options.files, max(1, options.files // max(1, options.real))):
            results += really(root, options.seed, number)
    page = report(results, options.seed)
    faults = [result for result in results if result.answer.fault]
    for result in faults:
        print(f"{result.number}: {result.mutation}: {result.answer.verb}: {result.answer.fault}")
    options.out.write_text(page)
    print(page)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
