"""Kills workers, nodes and the command itself while a curation runs on Ray, and compares bytes.

    python -m benchmarks.safety.chaos [--rounds 10] [--lines 4000] [--seed 0]

Several raylets on this machine are the cluster. Each round curates the same corpus, kills workers with SIGKILL at
random moments and one raylet with all that runs below it, and compares every file with those of a run that nobody
disturbed. Then a file cut short must end the command with exit 1 and its table, and a killed command must resume.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from infra.artifacts.fingerprint import digest_file
from infra.stages.job_state import job_state
from infra.stages.result_folders import partials_of

ROOT = Path(__file__).resolve().parents[2]
RESULT = ROOT / "benchmarks" / "results" / "chaos.md"

WORDS = "the a our house river teacher market reads walks paints quickly slowly green old and near"
YAML = """\
kind: curation
name: chaos
corpora:
  forum: {sources: [{path: "data/*.jsonl.gz"}]}
steps:
  - {step: exact_dedup}  # several passes and jobs, so that kills meet all of them
  - {step: score, scorer: {name: profanity}}
  - {step: tag, tagger: {name: words, scorer: {name: profanity}, keep_at_or_above: 0.05}}
execution:
  ray: {deaths: 50}  # all of them are our doing
"""


@contextlib.contextmanager
def raylets(nodes: int, cpus: int) -> Iterator[Any]:
    """A cluster whose head runs no workers."""
    from ray.cluster_utils import Cluster

    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(ROOT)  # raylets hand it to their workers
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    quick = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 1000, "health_check_failure_threshold": 5}
    head = {"num_cpus": 0, "include_dashboard": False, "_system_config": quick}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        for _ in range(nodes):
            cluster.add_node(num_cpus=cpus)
        yield cluster
    finally:
        cluster.shutdown()
        os.environ.pop("PYTHONPATH")
        os.environ.update({"PYTHONPATH": before} if before is not None else {})


def write_corpus(folder: Path, files: int, lines: int, cut: int | None = None) -> Path:
    """`files` made files of `lines` posts and the YAML that curates them; file number `cut` lacks its end."""
    draw = random.Random(0)
    words = WORDS.split()
    (folder / "data").mkdir(parents=True, exist_ok=True)
    for number in range(files):
        posts = [" ".join(draw.choices(words, k=40)) + (" you idiot" if draw.random() < 0.1 else "")
                 for _ in range(lines)]  # fmt: skip
        data = gzip.compress("".join(json.dumps({"text": post}) + "\n" for post in posts).encode(), mtime=0)
        (folder / "data" / f"{number:03d}.jsonl.gz").write_bytes(data[: len(data) // 2] if number == cut else data)
    (folder / "chaos.yaml").write_text(YAML)
    return folder / "chaos.yaml"


def start(job: Path, out: Path, *options: str) -> subprocess.Popen[str]:
    """`hormesis run` in a process of its own."""
    command = [sys.executable, "-m", "hormesis", "run", str(job), "--out", str(out), *options]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)  # noqa: S603  # our own command


def finish(process: subprocess.Popen[str]) -> str:
    """Wait for a command that must succeed; returns what it said."""
    _, message = process.communicate()
    if process.returncode != 0:
        raise SystemExit(f"exit {process.returncode}:\n{message}")
    return message


def contents(folder: Path) -> dict[str, str]:
    """Checksum of every file but the record of when and where."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "artifact.json"]
    return {path.relative_to(folder).as_posix(): digest_file(path) for path in files}


def done(out: Path) -> int:
    """Ranks that the jobs at work below `out` have finished."""
    return sum(len(list(work.rglob("completions/[0-9]*"))) for work in partials_of(out))


def workers_at(out: Path) -> list[int]:
    """Processes that run a rank now, by what they say of themselves."""
    states = [state for work in partials_of(out) if (state := job_state(work)) is not None]
    return [rank.pid for state in states for rank in state.running if _is_worker(rank.pid)]


def _is_worker(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return b"CurationWorker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


def kill_a_worker(out: Path, draw: random.Random) -> bool:
    """SIGKILL to one of the workers that run a rank; returns whether there was one."""
    pids = workers_at(out)
    if pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(draw.choice(pids), signal.SIGKILL)
    return bool(pids)


def kill_a_node(cluster: Any, draw: random.Random, cpus: int) -> None:
    """SIGKILL to a raylet, with which its workers end; another node joins in its place."""
    node = draw.choice(sorted(cluster.worker_nodes, key=lambda node: node.raylet_socket_name))
    os.kill(node.all_processes["raylet"][0].process.pid, signal.SIGKILL)
    cluster.remove_node(node, allow_graceful=False)
    cluster.add_node(num_cpus=cpus)


def disturb(process: subprocess.Popen[str], cluster: Any, out: Path, draw: random.Random, kills: int) -> Counter[str]:
    """Kill workers at random moments until the command ends, and once a node; returns what was killed."""
    killed: Counter[str] = Counter()
    while process.poll() is None:
        time.sleep(draw.uniform(0.2, 1.5))
        if killed["workers"] < kills and kill_a_worker(out, draw):
            killed["workers"] += 1
        if not killed["nodes"] and killed["workers"] >= min(2, kills):
            kill_a_node(cluster, draw, cpus=2)
            killed["nodes"] += 1
    return killed


def rounds(folder: Path, cluster: Any, job: Path, count: int, seed: int) -> list[tuple[object, ...]]:
    """A row a round: number, seconds, workers and nodes killed, files compared, whether all were equal."""
    finish(start(job, folder / "undisturbed"))
    expected, rows = contents(folder / "undisturbed"), []
    for number in range(1, count + 1):
        out, began = folder / f"round-{number}", time.monotonic()
        process = start(job, out, "--ray", cluster.address, "--workers", "4")
        killed = disturb(process, cluster, out, random.Random(seed + number), kills=6)
        finish(process)
        equal = contents(out) == expected
        rows.append((number, round(time.monotonic() - began), killed["workers"], killed["nodes"], len(expected), equal))
        print(*rows[-1], sep="\t", flush=True)
    return rows


def damaged(folder: Path, cluster: Any, lines: int) -> tuple[int, str]:
    """Exit code and message of a run over a file that is cut short."""
    job = write_corpus(folder / "cut", files=12, lines=lines, cut=5)
    process = start(job, folder / "cut" / "out", "--ray", cluster.address)
    _, message = process.communicate()
    return process.returncode, message


def resumed(folder: Path, cluster: Any, job: Path, at: int) -> tuple[int, bool]:
    """Kill the command when `at` ranks are done, run it again; returns how many were, and whether bytes are equal."""
    out = folder / "killed"
    process = start(job, out, "--ray", cluster.address)
    while process.poll() is None and done(out) < at:
        time.sleep(0.05)
    process.kill()
    process.wait()
    before = done(out)
    finish(start(job, out, "--ray", cluster.address))
    return before, contents(out) == contents(folder / "undisturbed")


def main() -> None:
    """Run all of it and write the figures down. Exit 1 when a byte differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--lines", type=int, default=4000, help="posts a file; there are 24 files")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, raylets(nodes=3, cpus=2) as cluster:
        folder = Path(name)
        job = write_corpus(folder, files=24, lines=options.lines)
        print("round\tseconds\tworkers killed\tnodes killed\tfiles\tequal", flush=True)
        rows = rounds(folder, cluster, job, options.rounds, options.seed)
        code, message = damaged(folder, cluster, options.lines)
        before, equal = resumed(folder, cluster, job, at=6)
    RESULT.write_text(report(rows, code, message, before, equal, options.lines))
    print(RESULT.read_text())
    if code != 1 or not equal or not all(row[-1] for row in rows):
        raise SystemExit("a byte differs, or a failure was not told")


def report(rows: list[tuple[object, ...]], code: int, message: str, before: int, equal: bool, lines: int) -> str:
    """The figures as Markdown."""
    head = "| round | seconds | workers killed | nodes killed | files | equal |\n|---|---|---|---|---|---|\n"
    table = "".join("| " + " | ".join(map(str, row)) + " |\n" for row in rows)
    told = re.sub(r"(?m)^", "    ", message.strip())
    return (f"# Chaos on Ray\n\n24 files of {lines} posts, 3 raylets with 2 workers each at most 4 at work; "
            f"`python -m benchmarks.safety.chaos`.\n\n{head}{table}\n"
            f"A command killed with {before} ranks done and run again: equal bytes: {equal}.\n\n"
            f"A file cut short: exit {code}:\n\n{told}\n")  # fmt: skip


if __name__ == "__main__":
    main()
