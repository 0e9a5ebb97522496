"""A stage is skipped when done, taken up when killed, and never overwrites."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from infra.artifact import read_artifact, verify
from infra.errors import ArtifactError, InputError
from infra.spec import Spec
from infra.stage import Identity, Page, Plan, Stage, finished, run_stage


class CountSpec(Spec):
    numbers: int
    fail_at: int = -1
    name: str = "count"


CALLS = []


def run(spec, work):
    CALLS.append(spec)
    with work.progress("count", spec.numbers, "numbers") as advance:
        for index in range(spec.numbers):
            if index == spec.fail_at:
                raise RuntimeError("stop")
            file = work.path / f"{index}.txt"
            if not file.exists():
                file.write_text(str(index))
            advance(1)
    work.note("counted")
    return {"numbers": spec.numbers}


COUNT = Stage(
    kind="count", version=1, spec=CountSpec, run=run,
    identity=lambda spec: Identity({"numbers": spec.numbers}, {}),
    plan=lambda spec: Plan("", ()), show=lambda artifact: Page("", (), ""),
)  # fmt: skip


@pytest.fixture(autouse=True)
def fresh():
    CALLS.clear()


def test_a_finished_stage_is_not_run_again(tmp_path):
    first = run_stage(COUNT, CountSpec(numbers=3), tmp_path / "out")
    again = run_stage(COUNT, CountSpec(numbers=3), tmp_path / "out")
    assert len(CALLS) == 1 and first == again
    assert first.counts == {"numbers": 3} and first.notes == ("counted",)
    assert sorted(first.files) == ["0.txt", "1.txt", "2.txt"]
    assert finished(COUNT, CountSpec(numbers=3), tmp_path / "out") == first
    assert finished(COUNT, CountSpec(numbers=4), tmp_path / "out") is None


def test_another_configuration_goes_to_a_new_place(tmp_path):
    first = run_stage(COUNT, CountSpec(numbers=3), tmp_path / "out")
    other = run_stage(COUNT, CountSpec(numbers=4), tmp_path / "out")
    assert other.path.name == f"out-{other.fingerprint[:8]}"
    assert read_artifact(tmp_path / "out") == first
    assert finished(COUNT, CountSpec(numbers=4), tmp_path / "out") == other


def test_a_failed_run_leaves_only_a_work_folder_that_the_next_run_takes_up(tmp_path):
    with pytest.raises(RuntimeError):
        run_stage(COUNT, CountSpec(numbers=3, fail_at=2), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (work,) = tmp_path.glob(".out.*.partial")
    (work / "0.txt").write_text("kept")
    artifact = run_stage(COUNT, CountSpec(numbers=3), tmp_path / "out")
    assert (artifact.path / "0.txt").read_text() == "kept"
    assert not work.exists()


def test_work_folders_of_other_configurations_are_removed(tmp_path):
    with pytest.raises(RuntimeError):
        run_stage(COUNT, CountSpec(numbers=5, fail_at=1), tmp_path / "out")
    run_stage(COUNT, CountSpec(numbers=3), tmp_path / "out")
    assert not list(tmp_path.glob(".out.*"))


def test_work_folders_of_other_stages_with_a_like_name_are_left_alone(tmp_path):
    with pytest.raises(RuntimeError):
        run_stage(COUNT, CountSpec(numbers=5, fail_at=1), tmp_path / "dose-0.1")
    run_stage(COUNT, CountSpec(numbers=3), tmp_path / "dose-0")
    assert [path.name[:10] for path in tmp_path.glob(".*.partial")] == [".dose-0.1."]


def test_a_folder_of_the_users_is_never_touched(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="not a hormesis artifact"):
        run_stage(COUNT, CountSpec(numbers=3), tmp_path / "out")
    assert (tmp_path / "out" / "thesis.txt").read_text() == "mine"


def test_a_damaged_artifact_is_noticed_moved_aside_and_made_anew(tmp_path):
    artifact = run_stage(COUNT, CountSpec(numbers=3), tmp_path / "out")
    (artifact.path / "1.txt").unlink()
    with pytest.raises(ArtifactError, match="missing"):
        read_artifact(artifact.path)
    again = run_stage(COUNT, CountSpec(numbers=3), tmp_path / "out")
    assert again.files == artifact.files
    assert list(tmp_path.glob("out.damaged-*"))


def test_changed_content_of_the_same_size_is_found_by_verify(tmp_path):
    artifact = run_stage(COUNT, CountSpec(numbers=3), tmp_path / "out")
    (artifact.path / "1.txt").write_text("9")
    with pytest.raises(ArtifactError, match="checksum"):
        verify(read_artifact(artifact.path))


def test_artifacts_of_another_kind_are_refused_by_name(tmp_path):
    artifact = run_stage(COUNT, CountSpec(numbers=1), tmp_path / "out")
    with pytest.raises(InputError, match="is a count artifact, and a mixture artifact is needed"):
        read_artifact(artifact.path, "mixture")
    with pytest.raises(InputError, match="hormesis run"):
        read_artifact(tmp_path, "mixture")


def test_a_stage_gets_absolute_folders_since_workers_may_stand_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    seen = []
    stage = replace(COUNT, run=lambda spec, work: seen.append(work) or {})
    run_stage(stage, CountSpec(numbers=1), Path("out"))
    assert seen[0].path.parent == tmp_path and seen[0].store == tmp_path / "store"


def test_two_processes_do_not_do_the_same_work_twice(tmp_path):
    slow = Stage(
        kind="count", version=1, spec=CountSpec, plan=COUNT.plan, show=COUNT.show, identity=COUNT.identity,
        run=lambda spec, work: (time.sleep(0.5), run(spec, work))[1],
    )  # fmt: skip
    threads = [
        threading.Thread(target=run_stage, args=(slow, CountSpec(numbers=2), tmp_path / "out")) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(CALLS) == 1


def test_sigkill_at_any_moment_leaves_no_half_artifact(tmp_path):
    program = """
        import sys, time
        from pathlib import Path
        from infra.spec import Spec
        from infra.stage import *
        class S(Spec):
            n: int
        def run(spec, work):
            for index in range(spec.n):
                (work.path / f"{index}.txt").write_text(str(index)); time.sleep(0.01)
            return {"n": spec.n}
        stage = Stage(kind="k", version=1, spec=S, run=run, identity=lambda s: Identity({"n": s.n}, {}),
                      plan=lambda s: Plan("", ()), show=lambda a: Page("", (), ""))
        run_stage(stage, S(n=20), Path(sys.argv[1]))
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(tmp_path / "out")]
    for delay in (0.25, 0.4, 0.5):
        process = subprocess.Popen(command, cwd=os.getcwd())
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.wait()
        if (tmp_path / "out").exists():
            verify(read_artifact(tmp_path / "out"))
    assert subprocess.run(command, cwd=os.getcwd()).returncode == 0
    verify(read_artifact(tmp_path / "out"))
    assert json.loads((tmp_path / "out" / "artifact.json").read_text())["counts"] == {"n": 20}
