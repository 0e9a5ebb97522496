"""On Ray: the same bytes as anywhere, what dies is done again, and what fails is told.

Covers infra.jobs.ray and infra.cluster.
"""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.safety.chaos import contents, done, finish, kill_a_node, kill_a_worker, start, write_corpus
from infra.cluster import RayCluster
from infra.config.spec import Spec
from infra.errors import InputError, RanksFailed
from infra.jobs.execute import execute, opened
from infra.jobs.ray import TOKEN, CurationWorker
from infra.jobs.spec import ExecutionSpec, RayWorkersSpec
from infra.render.page import Page, Plan
from infra.stages.job_state import job_state
from infra.stages.stage import Identity, Stage, Workspace
from tests.helpers.pipeline_steps import Trip, expected, job_of, written


def test_ray_and_this_machine_write_the_same_bytes(
    tmp_path: Path, curation: Path, undisturbed: dict[str, str], cluster: Any
) -> None:
    finish(start(curation, tmp_path / "out", "--ray", cluster.address, "--workers", "2"))
    assert contents(tmp_path / "out") == undisturbed
    assert len(undisturbed) >= 8


def test_workers_stay_dead_ones_are_replaced_and_failures_come_as_a_table(tmp_path: Path, cluster: Any) -> None:
    trips = Trip(1, "data"), Trip(4, "kill", tmp_path / "tripped"), Trip(6, "kill")
    workspace = Workspace(tmp_path, tmp_path, quiet=True, ray=RayCluster(cluster.address, 2))
    with (
        opened(workspace, ExecutionSpec(ray=RayWorkersSpec(deaths=1))) as workers,
        pytest.raises(RanksFailed) as caught,
    ):
        execute(job_of(tmp_path, 9, *trips, by=True, pause=0.05), workspace, workers)
    broken, deadly = caught.value.failures
    assert (broken.rank, broken.where) == (1, "made.jsonl:2")
    assert deadly.rank == 6 and "its worker died 2 times" in deadly.reason
    texts = {rank: text.split("\n") for rank, text in written(tmp_path).items()}
    assert {rank: text for rank, (text, _) in texts.items()} == expected(0, 2, 3, 4, 5, 7, 8)
    assert len({process for _, process in texts.values()}) <= 2 + 3  # two, and one for each that died
    state = job_state(tmp_path)
    assert state is not None and [failure.rank for failure in state.failures] == [1, 6]


@pytest.mark.slow
def test_killed_workers_a_lost_node_and_a_killed_command_change_no_byte(
    tmp_path: Path, curation: Path, undisturbed: dict[str, str], cluster: Any
) -> None:
    out, draw = tmp_path / "disturbed", random.Random(0)
    options = ("--ray", cluster.address, "--workers", "2")
    process = start(curation, out, *options)
    while not kill_a_worker(out, draw):
        assert process.poll() is None, finish(process)
        time.sleep(0.02)
    kill_a_node(cluster, draw, cpus=2)
    while done(out) < 2:
        assert process.poll() is None, finish(process)
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert not out.exists()
    finish(start(curation, out, *options))
    assert contents(out) == undisturbed


def test_a_file_that_cannot_be_read_ends_the_command_with_exit_1_and_its_table(tmp_path: Path, cluster: Any) -> None:
    job = write_corpus(tmp_path, files=3, lines=900, cut=1)
    process = start(job, tmp_path / "out", "--ray", cluster.address, "--workers", "1")
    _, printed = process.communicate()
    assert process.returncode == 1 and "Traceback" not in printed
    assert "1 of 3 ranks failed; the rest of the work is kept" in printed
    assert "001.jsonl.gz:" in printed and "the compressed file ends too early" in printed
    assert done(tmp_path / "out") == 2


def test_a_node_that_does_not_see_the_shared_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.jobs.ray.time.sleep", lambda seconds: None)
    (tmp_path / TOKEN).write_text("another run's")
    assert f"does not see {tmp_path}" in (CurationWorker().check(str(tmp_path), "mine") or "")
    (tmp_path / TOKEN).write_text("mine")
    assert CurationWorker().check(str(tmp_path), "mine") is None


def test_a_kind_that_cannot_use_ray_refuses_it(tmp_path: Path) -> None:
    stage: Stage[Spec] = Stage(
        "count", 1, Spec, lambda spec: Identity({}, {}), lambda spec, work: {}, lambda spec: Plan("", ()),
        lambda artifact: Page("", ()),
    )  # fmt: skip
    with pytest.raises(InputError, match="--ray: kind count runs on this machine only"):
        stage.start(Spec(), tmp_path / "out", 1, RayCluster("auto"))


def test_small_files_that_share_shards_give_the_same_bytes_on_ray_and_here(tmp_path: Path, cluster: Any) -> None:
    (tmp_path / "many").mkdir()
    for number in range(130):
        (tmp_path / "many" / f"{number:03d}.txt").write_text(f"Document number {number} is here.")
    job = tmp_path / "job.yaml"
    job.write_text("kind: curation\nname: job\ncorpora: {it: {sources: [{path: 'many/*.txt'}]}}\nsteps: []\n")
    finish(start(job, tmp_path / "here", "--workers", "2"))
    finish(start(job, tmp_path / "ray", "--ray", cluster.address, "--workers", "2"))
    assert contents(tmp_path / "ray") == contents(tmp_path / "here")
    assert len(list((tmp_path / "ray" / "corpora" / "it").iterdir())) == 65
