"""One flipped byte in a file of an artifact, two hundred times: does whoever reads the artifact notice?

    nice python -m benchmarks.safety.damage [--flips 200] [--seed 0] [--folders store tagger …]

Every kind of artifact is made once. Then, file by file through all of them and from the start again, one byte is
replaced by another one, with the file's times as they were, and the commands that read the artifact are run. Each must
end with one message, or say in one that it does a step anew, or give what it gives of the undamaged artifact to the
byte (its standard output and its files, but for recorded times). A command that ends well is run again in a process of
its own before it is believed.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from benchmarks.safety.kills import ROOT, contents, machine
from benchmarks.safety.tiny import write_world
from hormesis import app
from infra.atomic import write_text
from infra.errors import HormesisError

RESULT = ROOT / "benchmarks" / "results" / "damage.md"
MADE = ("curation curated", "mixture mixed", "pretrain trained", "posttrain steered", "analysis measured",
        "tagger tagger", "fasttext fasttext", "linear linear", "distillation distilled", "calibration calibrated",
        "swarm swarm", "study studied")  # fmt: skip
"""YAML files of the world and the folders of what they make, in their order."""
SCORED = ("run {w}/scored.yaml --workers 1 --out {o}/scored",)
READERS = {
    "curated": ("run {w}/mixture.yaml --workers 1 --out {o}/mixed", "show {a} --out {o}/page.html"),
    "mixed": (
        "run {w}/pretrain.yaml --workers 1 --out {o}/trained",
        "lineage {a} --sample 3",
        "export {a} --to hf --out {o}/hf",
        "show {a} --out {o}/page.html",
    ),
    "store": ("run {w}/mixture.yaml --workers 1 --set sequence_length=16 --out {w}/again",),
    "trained": (
        "run {w}/posttrain.yaml --workers 1 --out {o}/steered",
        "run {w}/continued.yaml --workers 1 --out {o}/continued",
        "export {a} --to hf --out {o}/hf",
        "generate {a} Our_teacher --tokens 5",
    ),
    "steered": (
        "run {w}/analysis.yaml --workers 1 --out {o}/measured",
        "generate {w}/trained Our --recipe {a} --tokens 5",
    ),
    "measured": ("show {a} --out {o}/page.html",),
    "tagger": SCORED,
    "fasttext": SCORED,
    "linear": SCORED,
    "distilled": SCORED,
    "calibrated": SCORED,
    "swarm": ("predict {a} --mixtures {w}/mixtures.csv --out {o}/out.csv", "show {a} --out {o}/page.html"),
    "studied": ("show {a} --out {o}/page.html", "export {a} --to swarm --out {o}/swarm"),
    "studied/steps": ("run {w}/study.yaml --workers 1 --out {o}/studied",),
}
"""Folders of the world, and what reads them: w is the world, o a new folder, a the artifact or folder itself."""

_ANEW = "doing it anew"  # what a damaged step's artifact is said to be put aside for


@dataclass(frozen=True)
class Flip:
    """A byte of a file and what it becomes."""

    folder: str
    file: Path
    offset: int
    value: int


@dataclass(frozen=True)
class Outcome:
    """How the commands after a flip ended: noticed (by one message), no effect, or what went wrong."""

    flip: Flip
    verdict: str
    detail: str = ""


def make(world: Path) -> None:
    """Every artifact of the world."""
    for kind, name in (line.split() for line in MADE):
        alone(f"run {world}/{kind}.yaml --workers 2 --out {world}/{name}")


def alone(line: str) -> tuple[int, str, str]:
    """Exit code, output and messages of a command in a process of its own."""
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "hormesis", *line.split()], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout, done.stderr


def flips(world: Path, folders: Sequence[str], count: int, seed: int) -> Iterator[Flip]:
    """Files in turn: the first of every folder, the second of every folder, and so on and around."""
    draw = random.Random(seed)
    queues = {folder: _files(world, folder) for folder in folders}
    for number in range(count):
        folder = list(queues)[number % len(queues)]
        file = queues[folder][number // len(queues) % len(queues[folder])]
        offset = draw.randrange(file.stat().st_size)
        yield Flip(folder, file, offset, file.read_bytes()[offset] ^ draw.randrange(1, 256))


def _files(world: Path, folder: str) -> list[Path]:
    """Files that are not empty; of a study its report, and of its steps, which are a folder of their own, the last."""
    files = sorted(file for file in (world / folder).rglob("*") if file.is_file() and file.stat().st_size)
    if folder == "studied":
        files = [file for file in files if not {"steps", "logs"} & set(file.relative_to(world / folder).parts)]
    if folder == "studied/steps":
        files = [file for file in files if file.relative_to(world / folder).parts[0].startswith("measure-")]
    return files


@contextlib.contextmanager
def flipped(flip: Flip) -> Iterator[None]:
    """The damage, and its repair; neither shows in the file's time."""
    whole, times = flip.file.read_bytes(), flip.file.stat()
    damaged = bytearray(whole)
    damaged[flip.offset] = flip.value
    try:
        flip.file.write_bytes(damaged)
        os.utime(flip.file, ns=(times.st_atime_ns, times.st_mtime_ns))
        yield
    finally:
        flip.file.write_bytes(whole)
        os.utime(flip.file, ns=(times.st_atime_ns, times.st_mtime_ns))


class Result(NamedTuple):
    """What a command gave: its exit code, what it printed on both streams, and digests of what it wrote."""

    code: int
    output: str
    messages: str
    files: dict[str, str]


class Reading:
    """The commands that read a world, and what they give of it undamaged."""

    def __init__(self, world: Path) -> None:
        self.world = world
        self._whole: dict[tuple[str, str], Result] = {}

    def outcome(self, flip: Flip) -> Outcome:
        """Damage the world, read it, mend it, and say what happened."""
        for line in READERS[flip.folder]:
            self._expected(line, flip.folder)
        with flipped(flip):
            told = [self._told(line, flip.folder) for line in READERS[flip.folder]]
        if wrong := [text for text in told if text is not None and text.startswith("WRONG")]:
            return Outcome(flip, "wrong", "; ".join(wrong))
        messages = [text for text in told if text is not None]
        return Outcome(flip, "noticed", messages[0]) if messages else Outcome(flip, "no effect")

    def _told(self, line: str, folder: str) -> str | None:
        """The message of a command on a damaged world, None where it gives what it should, or WRONG and why."""
        with self._out(folder) as out:
            try:
                with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                    app(self._arguments(line, folder, out).split(), standalone_mode=False)
            except HormesisError as error:
                return str(error)
            except Exception as error:
                return f"WRONG: `{line}` ends in a traceback: {type(error).__name__}: {error}"
        seen, expected = self._run(line, folder), self._expected(line, folder)
        if seen.code not in (0, expected.code):
            return seen.messages
        if (seen.code, seen.output, seen.files) != (expected.code, expected.output, expected.files):
            return f"WRONG: `{line}` gives another result and exit {seen.code}"
        return next((text for text in seen.messages.splitlines() if _ANEW in text), None)

    def _expected(self, line: str, folder: str) -> Result:
        if (line, folder) not in self._whole:
            self._whole[line, folder] = result = self._run(line, folder)
            if result.code != 0:
                raise SystemExit(f"{line}: {result.messages}")
        return self._whole[line, folder]

    def _run(self, line: str, folder: str) -> Result:
        """Exit code, what was printed, and digests of what was written."""
        with self._out(folder) as out:
            code, output, messages = alone(self._arguments(line, folder, out))
            files = contents(out) | {f"again/{name}": seen for name, seen in contents(self.world / "again").items()}
            # what was put aside, and the states of steps, which a study writes when one of them is done anew
            files = {name: seen for name, seen in files.items() if not re.search(r"\.damaged|\.steps\.json$", name)}
            return Result(code, output.replace(str(out), "OUT"), messages, files)

    def _arguments(self, line: str, folder: str, out: Path) -> str:
        return line.format(w=self.world, o=out, a=self.world / folder)

    @contextlib.contextmanager
    def _out(self, folder: str) -> Iterator[Path]:
        """A new folder; for a study's steps with a copy of them, of which the report has still to be made."""
        out = self.world.parent / "out"
        for left in (out, self.world / "again", *self.world.glob(".again.*")):
            shutil.rmtree(left, ignore_errors=True)
        out.mkdir()
        if folder == "studied/steps":
            shutil.copytree(self.world / folder, out / folder)
        yield out


def report(outcomes: list[Outcome], seed: int) -> str:
    """The figures as Markdown."""
    verdicts: dict[str, Counter[str]] = defaultdict(Counter)
    files: dict[str, set[Path]] = defaultdict(set)
    for outcome in outcomes:
        verdicts[outcome.flip.folder][outcome.verdict] += 1
        files[outcome.flip.folder].add(outcome.flip.file)
    rows = "".join(
        f"| {_kind(folder)} | {len(files[folder])} | {counts.total()} | {counts['noticed']} | {counts['no effect']} | "
        f"{counts['wrong']} |\n"
        for folder, counts in verdicts.items()
    )
    wrong = "".join(
        f"- {_location(outcome.flip)}: {outcome.detail}\n" for outcome in outcomes if outcome.verdict == "wrong"
    )
    harmless = sorted(
        {_location(outcome.flip).partition(",")[0] for outcome in outcomes if outcome.verdict == "no effect"}
    )
    return (
        f"# Damage\n\n{len(outcomes)} flipped bytes (seed {seed}); "
        f"`python -m benchmarks.safety.damage` on {machine()}.\n\n"
        f"| artifact | files | flips | noticed, one message | no effect on any result | wrong |\n"
        f"|---|---|---|---|---|---|\n{rows}\nWithout effect: {', '.join(harmless) or 'none'}.\n"
        + (f"\nWrong:\n\n{wrong}" if wrong else "")
    )


def _kind(folder: str) -> str:
    kinds = {name: kind for kind, name in (line.split() for line in MADE)}
    return kinds.get(folder, {"store": "tokenizer and tokens in the store"}.get(folder, "a study's measurements"))


def _location(flip: Flip) -> str:
    return f"`{flip.folder}/{flip.file.name}`, byte {flip.offset}"


def main() -> None:
    """Flip, read and write the figures down. Exit 1 where damage was neither noticed nor harmless."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flips", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folders", nargs="+", choices=READERS, default=list(READERS), help="all of them by default")
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        os.environ["HORMESIS_CACHE"] = f"{name}/cache"
        world = write_world(Path(name) / "world")
        make(world)
        reading, outcomes = Reading(world), []
        for flip in flips(world, options.folders, options.flips, options.seed):
            outcomes.append(reading.outcome(flip))
            print(len(outcomes), outcomes[-1].verdict, _location(flip), outcomes[-1].detail[:200], flush=True)
    write_text(options.out, report(outcomes, options.seed))
    print(options.out.read_text())
    if any(outcome.verdict == "wrong" for outcome in outcomes):
        raise SystemExit("damage changed a result in silence")


if __name__ == "__main__":
    main()
