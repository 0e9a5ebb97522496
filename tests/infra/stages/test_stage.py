"""A stage is skipped when done, taken up when killed, and never overwrites.

Covers infra.stages.stage and infra.stages.result_folders.
"""

import json
import signal
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from infra.artifacts.artifact import read_artifact, verify
from infra.config.spec import Spec
from infra.errors import ArtifactError, InputError
from infra.render.page import Page, Plan
from infra.stages.stage import Identity, Stage, finished, run_stage
from tests.helpers import ROOT


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
    second = run_stage(COUNT, CountSpec(numbers=3), tmp_path / "out")
    assert len(CALLS) == 1 and first == second
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


def test_stopped_work_of_other_settings_is_kept_said_and_taken_up_when_its_name_is_no_longer_free(tmp_path, capsys):
    with pytest.raises(RuntimeError):
        run_stage(COUNT, CountSpec(numbers=5, fail_at=1), tmp_path / "out")
    (work,) = tmp_path.glob(".out.*.partial")
    (work / "0.txt").write_text("of hours")
    run_stage(COUNT, CountSpec(numbers=3), tmp_path / "out")
    printed = capsys.readouterr().err
    assert f"{work}: work with other settings" in printed and "0.0 MB" in printed and f"`rm -r {work}`" in printed
    later = run_stage(COUNT, CountSpec(numbers=5), tmp_path / "out")
    assert later.path == tmp_path / f"out-{later.fingerprint[:8]}"
    assert (later.path / "0.txt").read_text() == "of hours"
    assert f"so this one is in {later.path}" in capsys.readouterr().err
    assert not list(tmp_path.glob(".out.*"))


def test_two_configurations_at_once_both_end_and_both_are_kept(tmp_path, capsys):
    barrier = threading.Barrier(2)

    def together(spec, work):
        barrier.wait(10)  # both have looked where their results go, and the place was free
        return run(spec, work)

    stage, ended = replace(COUNT, run=together), {}

    def start(numbers):
        ended[numbers] = run_stage(stage, CountSpec(numbers=numbers), tmp_path / "out")

    threads = [threading.Thread(target=start, args=(numbers,)) for numbers in (3, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    later = next(artifact for artifact in ended.values() if artifact.path.name != "out")
    assert {artifact.path for artifact in ended.values()} == {tmp_path / "out", later.path}
    assert later.path.name == f"out-{later.fingerprint[:8]}"
    assert f"so this one is in {later.path}" in capsys.readouterr().err
    for numbers, artifact in ended.items():
        verify(artifact)
        assert run_stage(stage, CountSpec(numbers=numbers), tmp_path / "out") == artifact
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", later.path.name]


def test_a_result_is_found_under_its_own_name_when_the_first_has_gone(tmp_path):
    run_stage(COUNT, CountSpec(numbers=3), tmp_path / "out")
    other = run_stage(COUNT, CountSpec(numbers=4), tmp_path / "out")
    (tmp_path / "out").rename(tmp_path / "elsewhere")
    assert run_stage(COUNT, CountSpec(numbers=4), tmp_path / "out") == other and len(CALLS) == 2


def test_finished_work_is_not_lost_to_a_folder_that_appears_meanwhile(tmp_path):
    def slow(spec, work):
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "thesis.txt").write_text("mine")
        return run(spec, work)

    artifact = run_stage(replace(COUNT, run=slow), CountSpec(numbers=3), tmp_path / "out")
    assert artifact.path.name == f"out-{artifact.fingerprint[:8]}"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.txt"]


def test_running_again_notices_a_flipped_byte_in_the_result(tmp_path):
    artifact = COUNT.start(CountSpec(numbers=3), tmp_path / "out", 1)
    (artifact.path / "1.txt").write_text("9")
    with pytest.raises(ArtifactError, match=r"1\.txt: content differs from its checksum"):
        COUNT.start(CountSpec(numbers=3), tmp_path / "out", 1)


@pytest.mark.parametrize(
    ("old", "new", "name", "words"),
    [
        ('"numbers": 3', '"numbers": 7', "out", "out.damaged, doing it anew"),
        ('"numbers": 3', '"numbers": ', "out", "out.damaged, doing it anew"),
        ('"fingerprint": "', '"fingerprint": "x', "out-{0}", "it stays, and the result goes beside it"),
        ('"fingerprint"', "fingerprint", "out-{0}", "it stays, and the result goes beside it"),
    ],
)
def test_a_damaged_manifest_is_said_and_moved_aside_if_it_tells_its_fingerprint(
    tmp_path, capsys, old, new, name, words
):
    artifact = run_stage(COUNT, CountSpec(numbers=3), tmp_path / "out")
    manifest = artifact.path / "artifact.json"
    manifest.write_text(manifest.read_text().replace(old, new, 1))
    with pytest.raises(ArtifactError, match=r"artifact\.json: (content differs from its checksum|not valid JSON)"):
        read_artifact(artifact.path)
    remade = run_stage(COUNT, CountSpec(numbers=3), tmp_path / "out")
    assert remade.path.name == name.format(remade.fingerprint[:8]) and remade.counts == {"numbers": 3}
    assert words in capsys.readouterr().err


def test_artifacts_from_before_seals_are_read(tmp_path):
    artifact = run_stage(COUNT, CountSpec(numbers=3), tmp_path / "out")
    record = json.loads((artifact.path / "artifact.json").read_text())
    del record["seal"]
    (artifact.path / "artifact.json").write_text(json.dumps({**record, "format": 1}))
    assert read_artifact(artifact.path).counts == {"numbers": 3}
    (artifact.path / "artifact.json").write_text(json.dumps(record))
    with pytest.raises(ArtifactError, match="checksum"):
        read_artifact(artifact.path)


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
    remade = run_stage(COUNT, CountSpec(numbers=3), tmp_path / "out")
    assert remade.files == artifact.files
    assert [path.name for path in tmp_path.glob("*damaged*")] == ["out.damaged"]


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
        from infra.config.spec import Spec
        from infra.stages.stage import *
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
        process = subprocess.Popen(command, cwd=ROOT)
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.wait()
        if (tmp_path / "out").exists():
            verify(read_artifact(tmp_path / "out"))
    assert subprocess.run(command, cwd=ROOT).returncode == 0
    verify(read_artifact(tmp_path / "out"))
    assert json.loads((tmp_path / "out" / "artifact.json").read_text())["counts"] == {"n": 20}
