"""Trainings of many ranks, and studies of many arms, through the launcher `slurm` and the Slurm of the tests.

The ranks only say that they were there. In an array every eighth arm is told to stop once and must be the one that goes
back into the queue, and every sixteenth is on a node that is lost: its task never starts, and it is submitted anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

from benchmarks.scale.measured import Point, Series, cost_of
from tests.helpers import fake_slurm
from tests.helpers.token_mixtures import small_mixture, small_run

_PER_NODE = 8
_STOPPED, _LOST = 8, 16  # of so many arms one
_WORKER = """#!/bin/bash
# in place of Python: `-m pretrain.processes.worker FOLDER`
echo "$SLURM_PROCID" >> "$3/ranks"
if grep -qxF "$3" "$FAKE_SLURM/stop" 2> /dev/null && [ ! -e "$3/launch/stopped" ]; then
    touch "$3/launch/stopped"; exit 143
fi
[ "$SLURM_PROCID" = 0 ] || exit 0
touch "$3/pretrain.json"; echo '{"steps": 1}' > "$3/launch/counts.json"
"""


def measure(folder: Path, small: bool) -> Iterator[Series | str]:
    """Up to 512 ranks of one training, and up to 512 arms of one study."""
    sizes = (8, 16, 32) if small else (8, 64, 512)
    for work, train in (("One training", train_once), ("A study's arms, as one array", train_arms)):
        points = []
        for size in sizes:
            run_folder = folder / f"{train.__name__}-{size}"
            points.append(Point(size, size, cost_of(train, run_folder, size, warm_up=(run_folder / "warm", 8))))
        unit = "rank" if train is train_once else "arm"
        yield Series(f"{work} submitted, followed and finished: Slurm", f"{unit}s", unit, tuple(points))


def _install(folder: Path, patch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Slurm's programs on the path, and the stand-in of a node's Python."""
    folder.mkdir(parents=True, exist_ok=True)
    slurm = fake_slurm.install(folder / "slurm", patch)
    worker = slurm / "worker"
    worker.write_text(_WORKER)
    worker.chmod(0o755)
    return slurm, worker


def train_once(folder: Path, ranks: int) -> None:
    """One job of so many ranks, eight to a node."""
    from infra.stages.stage import run_stage
    from pretrain.launchers.slurm import Slurm
    from pretrain.stage import PRETRAIN

    with pytest.MonkeyPatch.context() as patch, mock.patch.object(Slurm, "poll", 0.01):
        slurm, worker = _install(folder, patch)
        launcher = {"name": "slurm", "nodes": ranks // _PER_NODE, "gpus_per_node": _PER_NODE, "python": str(worker)}
        batch = {"micro_batch_size": 1, "global_batch_size": ranks}
        spec = small_run(mixture=str(small_mixture(folder / "mixture")), launcher=launcher, **batch)
        (slurm / "queued").write_text("")  # it is still running at the first look
        artifact = run_stage(PRETRAIN, spec, folder / "out", quiet=True)
    assert artifact.counts == {"steps": 1}
    assert sorted(map(int, (artifact.path / "ranks").read_text().split())) == list(range(ranks))


def train_arms(folder: Path, arms: int) -> None:
    """A study's arms of one rank, as its command trains them."""
    from infra.stages.stage import run_stage, work_folder
    from pretrain.launchers.slurm import Slurm
    from pretrain.stage import PRETRAIN

    with pytest.MonkeyPatch.context() as patch, mock.patch.object(Slurm, "poll", 0.01):
        slurm, worker = _install(folder, patch)
        mixture = str(small_mixture(folder / "mixture"))
        launcher = {"name": "slurm", "gpus_per_node": 1, "python": str(worker)}
        specs = [small_run(mixture=mixture, seed=number, launcher=launcher) for number in range(arms)]
        targets = [folder / f"arm-{number}" for number in range(arms)]
        folders = [work_folder(PRETRAIN, spec, target) for spec, target in zip(specs, targets, strict=True)]
        stopped, lost = range(1, arms, _STOPPED), range(2, arms, _LOST)
        (slurm / "stop").write_text("".join(f"{folders[number]}\n" for number in stopped))
        patch.setenv("FAKE_LOST", " ".join(map(str, lost)))
        assert PRETRAIN.submit is not None
        PRETRAIN.submit(list(zip(specs, folders, strict=True)), folder / "logs")
        patch.delenv("FAKE_LOST")  # the node is back
        for spec, target in zip(specs, targets, strict=True):
            assert run_stage(PRETRAIN, spec, target, quiet=True).counts == {"steps": 1}
    assert (slurm / "requeued").read_text().split() == [f"4242_{number}" for number in stopped]
    assert len((slurm / "submitted").read_text().splitlines()) == 1 + len(lost)
