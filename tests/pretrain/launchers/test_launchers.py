"""`launcher:` really launches: several processes train, and the command ends with the same artifact as without it.

Covers pretrain.launchers.base_processes, pretrain.launchers.local, pretrain.launchers.torchrun,
pretrain.launchers.slurm, pretrain.launchers.ray, pretrain.processes.work, pretrain.processes.worker,
pretrain.processes.agent, pretrain.processes.environment, pretrain.processes.follow, pretrain.launchers.base,
pretrain.launchers.options.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.artifacts.artifact import read_artifact
from infra.errors import JobError, Preempted, RanksFailed, UnavailableError
from infra.stages.stage import Workspace, run_stage, work_folder
from pretrain.launchers.base import LaunchedWork
from pretrain.launchers.base_processes import ProcessLauncher
from pretrain.launchers.options import SlurmSpec
from pretrain.launchers.ray import LaunchedWorker, Ray
from pretrain.launchers.slurm import Slurm
from pretrain.processes.environment import COMMON
from pretrain.processes.sbatch import script_for
from pretrain.processes.work import Work
from pretrain.spec import PretrainSpec
from pretrain.stage import PRETRAIN
from pretrain.start.inputs import check_inputs
from pretrain.training import here
from pretrain.training.here import train_as_rank, train_here
from tests.helpers import ROOT, fake_slurm


@pytest.fixture
def on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that are started find this checkout."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(Slurm, "poll", 0.01)


def losses(artifact: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (artifact / "log.jsonl").open()]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Ray with room for two workers of one core; it ends with this file."""
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'hormesis[ray]'")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PYTHONPATH", str(ROOT))  # the raylet hands it to its workers
        ray.init("local", num_cpus=2, include_dashboard=False, object_store_memory=80 << 20, logging_level="ERROR")
    yield ray
    ray.shutdown()


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Slurm's programs; the folder says what was asked of them."""
    return fake_slurm.install(tmp_path / "slurm", monkeypatch)


LAUNCHERS = {
    "torchrun": {"processes": 2},
    "slurm": {"gpus_per_node": 2, "env": {"OMP_NUM_THREADS": "1"}, "srun": {"mpi": "none"}},
    "ray": {"workers": 2, "gpus": 0, "cpus": 1},
}


@pytest.mark.parametrize("name", LAUNCHERS)
def test_two_launched_processes_train_as_one_does(tmp_path, settings, on_path, slurm, name, request):
    if name == "ray":
        request.getfixturevalue("cluster")
    alone = run_stage(PRETRAIN, settings(), tmp_path / "alone", quiet=True)
    launched = settings(launcher={"name": name, **LAUNCHERS[name]})
    two = run_stage(PRETRAIN, launched, tmp_path / "two", quiet=True)
    assert two.fingerprint == alone.fingerprint
    assert two.files.keys() == alone.files.keys()
    assert json.loads((two.path / "pretrain.json").read_text())["ranks"] == 2
    assert losses(two.path) == pytest.approx(losses(alone.path), abs=1e-5)
    assert two.counts["tokens"] == alone.counts["tokens"]
    assert not list(tmp_path.glob(".*partial"))
    assert name != "slurm" or "--mpi=none" in (slurm / "srun").read_text().split()


def test_a_ray_worker_gets_what_slurms_script_exports_and_env_wins(cluster, settings, monkeypatch):
    class Telling(LaunchedWorker):
        def environment(self) -> dict[str, str]:
            return dict(os.environ)

    monkeypatch.setattr("pretrain.launchers.ray.LaunchedWorker", Telling)
    monkeypatch.setenv("NCCL_IB_HCA", "mlx5")
    monkeypatch.setenv("NCCL_SOCKET_IFNAME", "lo")
    env = {"NCCL_SOCKET_IFNAME": "ib0", "NCCL_DEBUG": "INFO"}
    spec = settings(launcher={"name": "ray", "workers": 1, "gpus": 0, "cpus": 1, "env": env}).launcher
    launcher = Ray(spec)
    launcher._ray = cluster
    with launcher._room(1) as room:
        (actor,) = launcher._actors(room, 1)
        seen = cluster.get(actor.environment.remote())
        cluster.kill(actor)
    assert COMMON | {"OMP_NUM_THREADS": "1", "NCCL_IB_HCA": "mlx5"} | env == {
        name: seen.get(name) for name in (*COMMON, "OMP_NUM_THREADS", "NCCL_IB_HCA", *env)
    }
    script = script_for(SlurmSpec(cpus_per_gpu=1, env=env), "run", [Path("/shared/run")], Path("/shared/logs"))
    assert all(f"export {name}={value}\n" in script for name, value in (COMMON | env).items())


TRAINING = LaunchedWork("pretrain", train_here, train_as_rank, check_inputs)


class Told(ProcessLauncher):
    """A launcher whose processes are functions that the test gives, one a try."""

    poll = 0.0

    def __init__(self, *attempts: Callable[[Work], None]) -> None:
        self.attempts = list(attempts)
        self.tries_left = len(attempts)

    @property
    def tries(self) -> int:
        return self.tries_left

    def ranks(self) -> int:
        return 4

    @contextlib.contextmanager
    def started(self, work: Work, ranks: int) -> Iterator[None]:
        self.attempts.pop(0)(work)
        yield

    def running(self) -> bool:
        return False


def test_processes_that_die_start_again_and_those_that_report_a_reason_do_not(tmp_path, settings):
    def dies(work: Work) -> None:
        pass

    def ends(work: Work) -> None:
        work.finish({"steps": 7})

    def fails(work: Work) -> None:
        work.report(3, "unexpected RuntimeError: connection closed by peer")
        work.report(1, "the loss is nan at step 5 of 9")
        work.report(2, "the loss is nan at step 5 of 9")

    workspace = Workspace(tmp_path, tmp_path, quiet=True)
    assert Told(dies, ends).run(TRAINING, settings(), workspace) == {"steps": 7}
    assert "started again" in json.loads((tmp_path / ".notes.json").read_text())[0]
    assert not (tmp_path / "launch").exists()
    with pytest.raises(JobError, match="without a word"):
        Told(dies, dies).run(TRAINING, settings(), workspace)
    with pytest.raises(RanksFailed) as caught:
        Told(fails, ends).run(TRAINING, settings(), workspace)
    assert [(failure.rank, failure.reason) for failure in caught.value.failures] == [
        (1, "the loss is nan at step 5 of 9")
    ]


def test_a_worker_leaves_word_of_what_failed_and_says_by_its_exit_code_how_it_ended(tmp_path, settings, monkeypatch):
    from pretrain.processes import worker
    from pretrain.processes.work import UNFINISHED

    def train(outcome: Exception | None) -> int:
        def train_here(spec: PretrainSpec, workspace: Workspace, *, verified: bool) -> dict[str, Any]:
            assert verified
            if outcome:
                raise outcome
            return {}

        monkeypatch.setattr(here, "train_here", train_here)
        return worker.work_in(tmp_path)

    monkeypatch.setenv("RANK", "2")
    work = Work(tmp_path)
    work.write(TRAINING.assignment(settings()))
    assert train(JobError("the gradient is not finite")) == 1
    assert [failure.reason for failure in work.failures()] == ["the gradient is not finite"]
    assert train(ValueError("odd")) == 1
    assert work.failures()[0].reason.startswith("unexpected ValueError: odd")
    work.forget_failures()

    assert train(None) == train(Preempted("saved after step 7")) == UNFINISHED
    assert work.failures() == []
    (tmp_path / "pretrain.json").touch()
    assert train(None) == 0
    assert work.counts() is None  # only the first rank says that the training is done
    with pytest.raises(JobError, match="does not see"):
        Work(tmp_path / "elsewhere").assignment()


def test_a_training_ends_when_the_command_that_started_it_is_killed(on_path):
    child = (
        "import os, time; from pretrain.processes.worker import stop_with_parent\n"
        "stop_with_parent(os.getppid()); print(os.getpid(), flush=True); time.sleep(60)"
    )
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    process = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    pid = int(process.stdout.readline())
    process.kill()
    process.wait()
    try:
        assert process.stdout.read() == ""  # ends when the child has: it holds the other end
    finally:
        process.stdout.close()
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


STAND_IN = """#!/bin/bash
# in place of Python: `-m pretrain.processes.worker FOLDER`
echo "$3" >> "$FAKE_SLURM/trained"
grep -qxF "$3" "$FAKE_SLURM/stop" 2> /dev/null && exit 143
[ -e "$FAKE_SLURM/silent" ] && exit 1
[ -e "$FAKE_SLURM/later" ] && exit 0
touch "$3/pretrain.json"; echo '{"steps": 1}' > "$3/launch/counts.json"
"""


@pytest.fixture
def arms(slurm, settings, on_path) -> tuple[Path, Callable[[int], PretrainSpec]]:
    """Slurm's programs, and the arms of a study whose workers only say that they were there."""
    python = slurm / "stand in; python"
    python.write_text(STAND_IN)
    python.chmod(0o755)

    def arm(seed: int) -> PretrainSpec:
        launcher = {"name": "slurm", "gpus_per_node": 1, "python": str(python), "at_once": 2}
        return settings(seed=seed, launcher=launcher)

    return slurm, arm


def test_the_arms_of_a_study_become_one_array_and_each_waits_for_its_own_task(tmp_path, arms):
    slurm, arm = arms
    (slurm / "later").touch()  # the tasks end when the queue is looked at for the first time
    specs = [arm(seed) for seed in range(3)]
    folders = [work_folder(PRETRAIN, spec, tmp_path / f"arm {spec.seed}") for spec in specs]
    assert PRETRAIN.submit
    PRETRAIN.submit(list(zip(specs, folders, strict=True)), tmp_path / "logs")
    script = (slurm / "script").read_text()
    assert "#SBATCH --array=0-2%2\n" in script and f"--output={tmp_path}/logs/%A_%a.log" in script
    assert (slurm / "trained").read_text().splitlines() == [str(folder) for folder in folders]
    for spec, folder in zip(specs, folders, strict=True):
        ends = f"touch '{folder}/pretrain.json'; echo '{{\"steps\": 1}}' > '{folder}/launch/counts.json'"
        (slurm / "queued").write_text(ends)
        artifact = run_stage(PRETRAIN, spec, tmp_path / f"arm {spec.seed}", quiet=True)
        assert artifact.counts == {"steps": 1} and list(artifact.files) == ["pretrain.json"]
    assert len((slurm / "submitted").read_text().splitlines()) == 1


@pytest.mark.parametrize("stopped", [0, 2])
def test_an_arm_that_is_told_to_stop_goes_back_into_the_queue_alone(tmp_path, arms, stopped):
    """Also the last, whose own job number is that of the whole array."""
    slurm, arm = arms
    specs = [with_requeues(arm(seed), 2) for seed in range(3)]
    folders = [str(work_folder(PRETRAIN, spec, tmp_path / f"arm {spec.seed}")) for spec in specs]
    (slurm / "stop").write_text(folders[stopped])
    assert PRETRAIN.submit
    PRETRAIN.submit(list(zip(specs, map(Path, folders), strict=True)), tmp_path / "logs")
    assert (slurm / "trained").read_text().splitlines() == [*folders, folders[stopped], folders[stopped]]
    assert (slurm / "requeued").read_text().split() == [f"4242_{stopped}"] * 2


def with_requeues(spec: PretrainSpec, requeues: int) -> PretrainSpec:
    """The specification with a limit to how often its job may go back into the queue."""
    return spec.model_copy(update={"launcher": spec.launcher.model_copy(update={"requeues": requeues})})


def test_a_job_that_was_told_to_stop_goes_back_into_the_queue(tmp_path, arms):
    slurm, arm = arms
    spec = with_requeues(arm(0), 1)
    (slurm / "stop").write_text(str(work_folder(PRETRAIN, spec, tmp_path / "out")))
    with pytest.raises(JobError, match=r"Slurm job 4242 ended before .* without a word"):
        run_stage(PRETRAIN, spec, tmp_path / "out", quiet=True)
    assert (slurm / "requeued").read_text() == "4242\n"
    (slurm / "stop").rename(slurm / "silent")
    with pytest.raises(JobError, match=r"log: .*4242\.log"):
        run_stage(PRETRAIN, spec, tmp_path / "out", quiet=True)
    assert (slurm / "requeued").read_text() == "4242\n"
    (slurm / "silent").unlink()
    assert run_stage(PRETRAIN, spec, tmp_path / "out", quiet=True).counts == {"steps": 1}


def test_without_slurm_and_with_a_refusal_the_message_says_what_is_wrong(tmp_path, arms, monkeypatch):
    slurm, arm = arms
    (slurm / "sbatch").write_text("#!/bin/bash\necho 'invalid partition specified: gpu' >&2; exit 1\n")
    with pytest.raises(UnavailableError, match=r"sbatch refused .*: invalid partition specified: gpu"):
        run_stage(PRETRAIN, arm(0), tmp_path / "out", quiet=True)
    (slurm / "sbatch").unlink()
    monkeypatch.setenv("PATH", str(slurm))
    with pytest.raises(UnavailableError, match="launcher: no sbatch on this machine"):
        run_stage(PRETRAIN, arm(0), tmp_path / "out", quiet=True)


def test_processes_without_work_are_refused(settings):
    for changes, message in (
        ({"launcher": {"name": "torchrun", "processes": 3}}, r"multiple of micro_batch_size × data-parallel"),
        ({"launcher": {"name": "torchrun", "processes": 3}, "parallel": {"tensor": 2}}, "do not divide into copies"),
        ({"launcher": "slrm"}, "'local', 'ray', 'slurm', 'torchrun'"),
        ({"launcher": {"name": "slurm", "env": {"A": "x\nrm -rf /"}}}, "on one line"),
        ({"launcher": {"name": "slurm", "sbatch": {"x y": 1}}}, "pattern"),
    ):
        with pytest.raises(ValueError, match=message):
            settings(**changes)


def test_the_launcher_is_no_part_of_the_fingerprint(tmp_path, settings):
    plain, launched = settings(), settings(launcher={"name": "ray", "workers": 2, "gpus": 0})
    assert PRETRAIN.fingerprint(plain) == PRETRAIN.fingerprint(launched)
    assert read_artifact(launched.mixture).kind == "mixture"
