"""Several processes are one training: the same loss, the same gradients, one artifact."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import one_step
import pytest
import torch

from infra.artifact import read_artifact
from infra.stage import run_stage
from pretrain.spec import PretrainSpec
from pretrain.stage import PRETRAIN

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
LOSSES = {"policy": "unlikelihood", "at_or_above": 0.3}


def torchrun(ranks: int, *arguments: str) -> None:
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


def two_ranks(spec: PretrainSpec, folder: Path) -> dict:
    folder.mkdir()
    torchrun(2, str(HERE / "one_step.py"), spec.model_dump_json(), str(folder), str(folder / "out.pt"))
    return torch.load(folder / "out.pt")


@pytest.fixture
def alone(tmp_path, settings) -> dict:
    one_step.main(settings(loss=LOSSES), tmp_path, tmp_path / "alone.pt")
    return torch.load(tmp_path / "alone.pt")


@pytest.mark.parametrize("parallel", [{}, {"tensor": 2}, {"pipeline": 2}], ids=["data", "tensor", "pipeline"])
def test_two_ranks_give_the_loss_and_gradients_of_one(tmp_path, settings, alone, parallel):
    two = two_ranks(settings(loss=LOSSES, parallel=parallel), tmp_path / "two")
    assert two.keys() == alone.keys()
    assert two["loss"] == pytest.approx(alone["loss"], abs=1e-5)
    for name, gradient in alone.items():
        if isinstance(gradient, torch.Tensor):
            torch.testing.assert_close(two[name], gradient, atol=1e-5, rtol=1e-4, msg=name)


def test_the_stage_runs_under_torchrun_and_writes_one_artifact(tmp_path, settings):
    spec = settings(checkpoint_every=5)
    code = tmp_path / "run.py"
    code.write_text(
        "import sys; from pathlib import Path; from infra.stage import run_stage\n"
        "from pretrain.spec import PretrainSpec\n"
        "from pretrain.stage import PRETRAIN\n"
        "run_stage(PRETRAIN, PretrainSpec.model_validate_json(sys.argv[1]), Path(sys.argv[2]), quiet=True)\n"
    )
    torchrun(2, str(code), spec.model_dump_json(), str(tmp_path / "two"))
    alone = run_stage(PRETRAIN, spec, tmp_path / "alone", quiet=True)
    two = read_artifact(tmp_path / "two", "pretrain")
    assert two.fingerprint == alone.fingerprint
    assert two.counts["tokens"] == alone.counts["tokens"]
    assert two.counts["cross_entropy"] == pytest.approx(alone.counts["cross_entropy"], abs=1e-4)
    losses = [[json.loads(line)["loss"] for line in (each.path / "log.jsonl").open()] for each in (two, alone)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)
    assert not list(tmp_path.glob(".*partial"))
