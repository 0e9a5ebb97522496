"""SIGKILL at random moments to a command or one of its workers, a hundred times: which bytes of the results differ?

    nice python -m benchmarks.safety.kills [--curation 35] [--mixture 35] [--pretrain 20] [--study 10] [--seed 0]

Each kind runs undisturbed once. Then, round after round, its command is started and killed at a moment drawn from the
time that it takes alone: half of the kills hit the command itself, the others one of the processes below it. After
`PER_ROUND` kills the command is run to its end, and every file in its folder, the store beside it and a study's steps
included, must be what it is in the undisturbed run. Only what `TIMES` names may differ.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import pickle
import platform
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks.safety.tiny import FILES, write_world
from infra.atomic import write_text

ROOT = Path(__file__).resolve().parents[2]
RESULT = ROOT / "benchmarks" / "results" / "kills.md"
PER_ROUND = 5
_COSTS = ("hours", "tokens per second")
TIMES = {
    "artifact.json": ("started", "ended", "seal"),
    "pretrain.json": ("seconds", "tokens_per_second"),
    "log.jsonl": ("tokens_per_second", "checkpoint_share", "eta_seconds"),
    "README.md": ("tokens per second", "seconds"),
    "report.html": _COSTS,
    "tables.md": _COSTS,
    "tables.tex": _COSTS,
    "costs.parquet": ("hours", "tokens_per_second"),
    "costs.csv": ("hours", "tokens_per_second"),
    "common.pt": ("seconds", "tokens_per_second", "checkpoint_share", "eta_seconds"),
    ".metadata": ("storage_meta",),
    "complete.json": (),
}
"""Files in which a run writes down when or how fast it was, and under which keys: a model's card is read by rows of its
tables, a study's report and its texts by columns of its tables, a checkpoint's `common.pt` and `.metadata` as the
objects in them. `seal` is a checksum of the others, and `storage_meta` is PyTorch's random name for the saving.
Checksums of these files, which an artifact and a checkpoint list, are left out. The logs of a study's steps (`logs/`)
are diaries and are not compared."""

_TABLE = re.compile(r"<table.*?</table>", re.DOTALL)
_COSTS_LINK = re.compile(r'download="costs\.csv" href="[^"]*"')
_CELL = re.compile(r"<t[hd]\b[^>]*>(.*?)</t[hd]>", re.DOTALL)


@dataclass
class Tally:
    """What became of one kind."""

    kind: str
    undisturbed: float  # seconds
    rounds: int = 0
    killed: Counter[str] = field(default_factory=Counter)
    files: int = 0
    differing: set[str] = field(default_factory=set)
    seconds: float = 0.0


class Command:
    """`hormesis run` of a kind in a world, into a folder of its own."""

    def __init__(self, kind: str, world: Path, out: Path) -> None:
        self.out = out
        self._arguments = [sys.executable, "-m", "hormesis", "run", f"{world}/{kind}.yaml", "--out", str(out / kind),
                           "--workers", "2"]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> subprocess.Popen[bytes]:
        """The running process; a new one unless one is running already."""
        if self._process is None or self._process.poll() is not None:
            with (self.out / "said").open("ab") as log:
                self._process = subprocess.Popen(self._arguments, cwd=ROOT, stdout=log, stderr=log)  # noqa: S603
        return self._process

    def finish(self) -> None:
        """Run it to its end; one that failed because a worker was killed is started once more."""
        for _ in range(2):
            if self.start().wait() == 0:
                return
        raise SystemExit(f"the command failed:\n{(self.out / 'said').read_text()}")


def below(pid: int) -> list[int]:
    """Processes that a process has started, and theirs."""
    with contextlib.suppress(OSError):
        children = map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        return [process for child in children for process in (child, *below(child))]
    return []


def kill(process: subprocess.Popen[bytes], draw: random.Random) -> str | None:
    """SIGKILL to the command or, if it has workers, to one of them; says which, or None where all is over."""
    workers = below(process.pid)
    victim = draw.choice(workers) if workers and draw.random() < 0.5 else process.pid
    if process.poll() is not None:
        return None
    with contextlib.suppress(ProcessLookupError):
        os.kill(victim, signal.SIGKILL)
        if victim == process.pid:
            process.wait()
            return "command"
        return "worker"
    return None


def disturb(command: Command, seconds: float, kills: int, draw: random.Random) -> Counter[str]:
    """Kill `kills` times at moments of up to `seconds` after a start, starting again whatever ended."""
    killed: Counter[str] = Counter()
    while killed.total() < kills:
        process = command.start()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(draw.uniform(0, seconds))
            if process.returncode == 0:  # done before the moment came: the round is over
                return killed
        if (hit := kill(process, draw)) is not None:
            killed[hit] += 1
    return killed


def contents(folder: Path) -> dict[str, str]:
    """Digest of every file below a folder but diaries, without recorded times."""
    files = [
        path for path in folder.rglob("*") if path.is_file() and path.parent.name != "logs" and path.name != "said"
    ]
    return {path.relative_to(folder).as_posix(): hashlib.sha256(_timeless(path)).hexdigest() for path in files}


def _timeless(file: Path) -> bytes:
    keys = TIMES.get(file.name)
    if keys is None:
        return file.read_bytes()
    if file.suffix == ".html":
        text = _COSTS_LINK.sub("", file.read_text())
        return _TABLE.sub(partial(_without_columns, keys), text).encode()
    if file.name in ("tables.md", "tables.tex"):
        return _without_costs(file.read_text()).encode()
    if file.stem == "costs":
        table = pl.read_parquet(file) if file.suffix == ".parquet" else pl.read_csv(file)
        return table.drop(keys).write_csv().encode()
    if file.name == "README.md":
        rows = tuple(f"| {key} |" for key in keys)
        return "\n".join(line for line in file.read_text().splitlines() if not line.startswith(rows)).encode()
    try:
        records = _records(file)
    except ValueError:  # damaged, so that no time in it can be told
        return file.read_bytes()
    return repr([_without(record, keys) for record in records]).encode()


def _without_columns(headings: tuple[str, ...], table: re.Match[str]) -> str:
    """A table of HTML as text, without the cells below some headings."""
    rows = [_CELL.findall(row) for row in table[0].split("</tr>")]
    left = [index for index, heading in enumerate(rows[0]) if heading not in headings]
    return repr([[row[index] for index in left if index < len(row)] for row in rows])


def _without_costs(text: str) -> str:
    """The tables of a study as text, without that of costs: in Markdown the paragraph beneath its title."""
    lines = text.split("\n\n")
    costs = {i for i, line in enumerate(lines) if line == "**Costs**" or r"\caption{Costs}" in line}
    return "\n\n".join(line for i, line in enumerate(lines) if not {i, i - 1} & costs)


def _records(file: Path) -> list[Any]:
    """What stands in a file of JSON, or of a checkpoint that this benchmark has written."""
    if file.name == "common.pt":
        import torch

        return [torch.load(file, weights_only=False)]
    if file.name == ".metadata":
        return [vars(pickle.loads(file.read_bytes()))]  # noqa: S301
    return (
        [json.loads(line) for line in file.read_text().splitlines()]
        if file.suffix == ".jsonl"
        else [json.loads(file.read_text())]
    )


def _without(value: Any, keys: Iterable[str]) -> Any:
    """A value without the members called so, and without what is said of whole files that hold such."""
    if isinstance(value, list):
        return [_without(below, keys) for below in value]
    if not isinstance(value, dict):
        return value
    return {
        key: _without(value[key], keys)
        for key in sorted(value, key=str)
        if key not in keys and str(key).rpartition("/")[2] not in TIMES
    }


def run_kind(kind: str, world: Path, folder: Path, kills: int, seed: int) -> Tally:
    """Meet `kills` kills, comparing after every round."""
    whole = _fresh(kind, world, folder / f"{kind}-whole")
    began = time.monotonic()
    whole.finish()
    tally, draw = Tally(kind, time.monotonic() - began), random.Random(f"{seed} {kind}")
    expected = contents(whole.out)
    tally.files = len(expected)
    began = time.monotonic()
    while tally.killed.total() < kills:
        tally.rounds += 1
        command = _fresh(kind, world, folder / f"{kind}-{tally.rounds}")
        left = min(PER_ROUND, kills - tally.killed.total())
        tally.killed += disturb(command, tally.undisturbed, left, draw)
        command.finish()
        seen = contents(command.out)
        tally.differing |= {f"round {tally.rounds}: {name}" for name in expected.keys() | seen.keys()
                            if expected.get(name) != seen.get(name)}  # fmt: skip
        print(f"{kind}: round {tally.rounds}, {tally.killed.total()} kills, {len(tally.differing)} differ", flush=True)
    tally.seconds = time.monotonic() - began
    return tally


def _fresh(kind: str, world: Path, out: Path) -> Command:
    out.mkdir()
    return Command(kind, world, out)


def prepare(folder: Path) -> Path:
    """The world, with a curation and a mixture for the kinds that read them."""
    world = write_world(folder / "world")
    for kind, name in (("curation", "curated"), ("mixture", "mixed")):
        command = [sys.executable, "-m", "hormesis", "run", f"{world}/{kind}.yaml", "--out", f"{world}/{name}"]
        subprocess.run(command, cwd=ROOT, check=True)  # noqa: S603
    return world


def report(tallies: list[Tally], seed: int) -> str:
    """The figures as Markdown."""
    head = ("| kind | alone | kills of the command | of a worker | rounds | files compared | differing | in all |\n"
            "|---|---|---|---|---|---|---|---|\n")  # fmt: skip
    rows = "".join(
        f"| {tally.kind} | {tally.undisturbed:.0f} s | {tally.killed['command']} | {tally.killed['worker']} | "
        f"{tally.rounds} | {tally.files} | {len(tally.differing)} | {tally.seconds:.0f} s |\n"
        for tally in tallies
    )
    times = "".join(f"- `{name}`: {', '.join(f'`{key}`' for key in keys)}\n" for name, keys in TIMES.items() if keys)
    differing = "".join(f"- {tally.kind}, {name}\n" for tally in tallies for name in sorted(tally.differing))
    total = sum(tally.killed.total() for tally in tallies)
    return (
        f"# Kills\n\n{total} times SIGKILL at random moments (seed {seed}), up to {PER_ROUND} a round before the "
        f"command is run to its end; `python -m benchmarks.safety.kills` on {machine()}.\n\n{head}{rows}\n"
        f"Compared is every file below the output folder, with the store and the steps of a study, but for the logs of "
        f"a study's steps, and for times:\n\n{times}\n"
        f"and the checksums of these files in `artifact.json` and `complete.json`. `seal` is a checksum "
        f"of the rest of its file, `storage_meta` PyTorch's random name for the saving of a checkpoint.\n"
        + (f"\nDiffering:\n\n{differing}" if differing else "")
    )


def machine() -> str:
    """The processor and its cores, for a page of figures."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
        return f"{model}, {os.cpu_count()} cores"
    return f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"


def main() -> None:
    """Kill, compare and write the figures down. Exit 1 when a byte differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for kind, kills in zip(FILES, (35, 35, 20, 10), strict=True):
        parser.add_argument(f"--{kind}", type=int, default=kills, help="kills")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["HORMESIS_CACHE"] = str(folder / "cache")
        world = prepare(folder)
        tallies = [run_kind(kind, world, folder, getattr(options, kind), options.seed) for kind in FILES]
    write_text(RESULT, report(tallies, options.seed))
    print(RESULT.read_text())
    if any(tally.differing for tally in tallies):
        raise SystemExit("bytes differ")


if __name__ == "__main__":
    main()
