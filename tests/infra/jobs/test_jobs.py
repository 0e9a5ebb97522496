"""A job ends with every rank done, or with a table of those that are not; what is done is never done again.

Covers infra.jobs.base, infra.jobs.execute, infra.jobs.local, infra.jobs.rank, infra.jobs.pulse and
infra.stages.job_state.
"""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest

from infra.errors import RanksFailed
from infra.jobs.base import ReadOnly
from infra.jobs.execute import execute, opened
from infra.render.terminal import print_error
from infra.stages.job_state import announced, job_state, write
from infra.stages.lease import leased
from infra.stages.stage import Workspace
from infra.stages.status import status_tables
from tests.helpers.pipeline_steps import Trip, expected, job_of, written


@pytest.fixture(params=[1, 2], ids=["in this process", "two workers"])
def workspace(tmp_path: Path, request: pytest.FixtureRequest) -> Workspace:
    return Workspace(tmp_path, tmp_path / "store", request.param, quiet=True)


def test_a_failed_rank_stops_no_other_and_is_told_with_file_line_and_reason(workspace: Workspace) -> None:
    job = job_of(workspace.path, 5, Trip(1, "data"), Trip(3, "bug"))
    with pytest.raises(RanksFailed) as caught:
        execute(job, workspace)
    ours, bug = caught.value.failures
    assert (ours.rank, ours.reads, ours.where, ours.reason) == (1, "shard 1", "made.jsonl:2", "not valid JSON")
    assert (bug.rank, bug.where) == (3, "up to made:2") and "unexpected ZeroDivisionError: a bug" in bug.reason
    assert "Traceback" in (job.logging_dir / "logs" / "task_00003.log").read_text()
    assert written(workspace.path) == expected(0, 2, 4)
    assert caught.value.exit_code == 1


def test_running_again_does_what_is_missing_and_nothing_else(workspace: Workspace) -> None:
    once = workspace.path / "tripped"
    job = job_of(workspace.path, 4, Trip(2, "data", once))
    with pytest.raises(RanksFailed):
        execute(job, workspace)
    (workspace.path / "out" / "0.txt").write_text("as it was")
    execute(job, workspace)
    assert written(workspace.path) == {**expected(1, 2, 3), 0: "as it was"}
    assert job.unfinished() == [] and job_state(workspace.path) is None


def test_a_killed_worker_costs_a_retry(tmp_path: Path) -> None:
    execute(job_of(tmp_path, 6, Trip(2, "kill", tmp_path / "tripped")), Workspace(tmp_path, tmp_path, 2, quiet=True))
    assert written(tmp_path) == expected(0, 1, 2, 3, 4, 5)


def test_a_rank_that_kills_every_worker_is_given_up_alone(tmp_path: Path) -> None:
    with pytest.raises(RanksFailed) as caught:
        execute(job_of(tmp_path, 5, Trip(2, "kill")), Workspace(tmp_path, tmp_path, 2, quiet=True))
    ((failure,)) = caught.value.failures
    assert failure.rank == 2 and "killed (out of memory?)" in failure.reason
    assert written(tmp_path) == expected(0, 1, 3, 4)


def test_workers_stay_from_job_to_job(tmp_path: Path) -> None:
    with opened(Workspace(tmp_path, tmp_path, 2, quiet=True)) as workers:
        processes = []
        for name in ("one", "two"):
            workspace = Workspace(tmp_path / name, tmp_path, 2, quiet=True)
            workspace.path.mkdir()
            execute(job_of(workspace.path, 8, by=True, pause=0.02), workspace, workers)
            processes.append({text.split("\n")[1] for text in written(workspace.path).values()})
    assert processes[1] <= processes[0] and len(processes[0]) <= 2


def test_what_ranks_share_is_not_copied_for_each_of_them() -> None:
    from copy import deepcopy

    shards = ReadOnly([["a"], ["b"]])
    assert deepcopy({"shards": shards})["shards"] is shards


def test_failures_print_as_a_table(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(RanksFailed) as caught:
        execute(job_of(tmp_path, 3, Trip(1, "data")), Workspace(tmp_path, tmp_path, quiet=True))
    print_error(caught.value)
    shown = capsys.readouterr().err
    assert "made: 1 of 3 ranks failed; the rest of the work is kept" in shown
    assert all(word in shown for word in ("shard 1", "made.jsonl:2", "not valid JSON"))


def test_status_shows_ranks_while_they_run(tmp_path: Path) -> None:
    work = tmp_path / ".out.0123456789ab.partial"
    work.mkdir()
    job = job_of(work, 3, pause=0.3)
    thread = threading.Thread(target=execute, args=(job, Workspace(work, work, quiet=True)))
    thread.start()
    while (state := job_state(work)) is None or not (state.done and state.running):
        assert thread.is_alive()
        time.sleep(0.01)
    thread.join()
    assert state.ranks == 3 and state.documents >= 3 and state.per_second > 0 and state.eta is not None
    assert state.running[0].reads.startswith("shard")


def test_status_names_stragglers_failures_and_speed(tmp_path: Path) -> None:
    work = tmp_path / ".out.0123456789ab.partial"
    work.mkdir()
    job, now = work / "job", time.time()
    with pytest.raises(RanksFailed):
        execute(job_of(work, 3, Trip(1, "data")), Workspace(work, work, quiet=True))
    record = {"reads": "shard 9", "documents": 40, "host": "node-7", "pid": 12, "at": now - 5, "started": now - 500}
    write(job / "running" / "00002.json", record)
    state = job_state(work)
    assert state is not None and state.running[0].straggles and state.failures[0].rank == 1
    steps, failed = status_tables(tmp_path / "out")  # nobody holds the folder: what "runs" there was killed
    assert "2 of 3 ranks done, 1 failed" in steps.rows[0][2] and failed.rows[0][2] == "made.jsonl:2"
    with leased(work, wait=False):
        steps, running, failed = status_tables(tmp_path / "out")
    assert "1 running" in steps.rows[0][2] and "docs/s" in steps.rows[0][2]
    assert running.rows[0][0] == "shard 9" and running.rows[0][-2:] == ("node-7:12", "straggler")


def test_a_new_run_forgets_what_an_earlier_one_reported(tmp_path: Path) -> None:
    job = tmp_path / "job"
    for folder in ("running", "failures"):
        (job / folder).mkdir(parents=True)
        (job / folder / "00000.json").write_text(json.dumps({}))
    with announced(tmp_path, job, "made", 3):
        state = job_state(tmp_path)
        assert state is not None and (state.running, state.failures) == ((), ())
