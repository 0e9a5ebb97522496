"""Trainings of many ranks through the launcher `ray`, on a cluster that is played and loses a node on the way."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

from benchmarks.scale.measured import Point, Series, cost_of
from tests.helpers.token_mixtures import small_mixture, small_run


def measure(folder: Path, small: bool) -> Iterator[Series | str]:
    """Up to 512 ranks, eight to a node."""
    points = []
    for ranks in (8, 16, 32) if small else (8, 64, 512):
        run_folder = folder / str(ranks)
        points.append(Point(ranks, ranks, cost_of(train, run_folder, ranks, warm_up=(run_folder / "warm", 8))))
    yield Series("One training placed, lost with a node, placed anew and finished: Ray", "ranks", "rank", tuple(points))


def train(folder: Path, ranks: int) -> None:
    """Place the workers, lose the last node, start from the newest checkpoint, finish."""
    from benchmarks.scale.fake_ray import GPUS, Cluster
    from infra.stages.stage import run_stage
    from pretrain.launchers import ray as launcher
    from pretrain.stage import PRETRAIN

    batch = {"micro_batch_size": 1, "global_batch_size": ranks}
    asked = {"name": "ray", "workers": ranks}
    spec = small_run(mixture=str(small_mixture(folder / "mixture")), launcher=asked, **batch)
    cluster = Cluster(lost=(ranks - 1) // GPUS)
    with (
        mock.patch.object(launcher, "connected", lambda _: contextlib.nullcontext(cluster)),
        mock.patch.object(launcher.Ray, "poll", 0.01),
        mock.patch("ray.util.placement_group", cluster.placement_group),
        mock.patch("ray.util.remove_placement_group", cluster.remove_placement_group),
    ):
        artifact = run_stage(PRETRAIN, spec, folder / "out", quiet=True)
    assert artifact.counts == {"steps": 1}
    assert any("started again" in note for note in artifact.notes)
    assert [len(attempt) for attempt in cluster.ranks] == [ranks, ranks]
    assert cluster.neighbours_are_together() and not cluster.groups
