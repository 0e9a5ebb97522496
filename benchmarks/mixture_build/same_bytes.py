"""Mixtures at several doses, killed with SIGKILL at random moments and run again, on 1, 2 and 4 workers and on Ray."""

from __future__ import annotations

import random
import shutil
import time
from pathlib import Path

from benchmarks.mixture_build.corpora import write_mixture
from benchmarks.safety.chaos import contents, finish, raylets, start

DOSES = (0.0, 0.05, 0.10, 0.25)
_KILLS = 3

Row = tuple[str, int, float, int, bool]


def measure(folder: Path, curation: Path, tokenizer: Path, clean: int, seed: int, ray: bool) -> list[Row]:
    """A row for every way of running: name, kills, seconds, files compared, whether all bytes were equal."""
    jobs = [write_mixture(folder, curation, tokenizer, f"dose-{dose:g}", clean, dose) for dose in DOSES]
    expected = _undisturbed(folder / "undisturbed", jobs)
    draw = random.Random(seed)
    ways: dict[str, tuple[str, ...]] = {f"{count} workers": ("--workers", str(count)) for count in (1, 2, 4)}
    rows = [_disturbed(name, folder / name.replace(" ", "-"), jobs, options, expected, draw)
            for name, options in ways.items()]  # fmt: skip
    if ray:
        with raylets(nodes=2, cpus=2) as cluster:
            options = ("--ray", cluster.address, "--workers", "2")
            rows.append(_disturbed("Ray, 2 workers", folder / "ray", jobs, options, expected, draw))
    return rows


def _undisturbed(folder: Path, jobs: list[Path]) -> dict[str, dict[str, str]]:
    return {job.stem: _whole(folder, job, ("--workers", "1")) for job in jobs}


def _whole(folder: Path, job: Path, options: tuple[str, ...]) -> dict[str, str]:
    finish(start(job, folder / job.stem, *options))
    return contents(folder / job.stem)


def _disturbed(
    name: str,
    folder: Path,
    jobs: list[Path],
    options: tuple[str, ...],
    expected: dict[str, dict[str, str]],
    draw: random.Random,
) -> Row:
    """Build every dose with one store; the first is killed several times, the others once each."""
    began, kills, equal = time.monotonic(), 0, True
    for job in jobs:
        for _ in range(_KILLS if job == jobs[0] else 1):
            kills += _kill(job, folder / job.stem, options, draw)
        equal &= _whole(folder, job, options) == expected[job.stem]
    files = sum(map(len, expected.values()))
    shutil.rmtree(folder)
    row = (name, kills, round(time.monotonic() - began), files, equal)
    print(*row, sep="\t", flush=True)
    return row


def _kill(job: Path, out: Path, options: tuple[str, ...], draw: random.Random) -> bool:
    """Start the command and kill it after a random while; returns whether it was still at work."""
    process = start(job, out, *options)
    deadline = time.monotonic() + draw.uniform(1, 25)
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    killed = process.poll() is None
    process.kill()
    process.communicate()
    return killed
