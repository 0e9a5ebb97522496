"""Short trainings in a work folder: a few steps with their gradients, runs that are killed, slowed or broken, and what
they leave there.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
import time
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
import torch.distributed as dist

from infra.artifacts.fingerprint import digest_file
from infra.errors import HormesisError, InputError
from infra.stages.stage import Workspace, run_stage
from mixtures.reading.built import BuiltMixture
from pretrain.metrics.sums import Sums
from pretrain.model.weights import gather
from pretrain.runtime.distributed import process_groups
from pretrain.spec import ParallelSpec, PretrainSpec
from pretrain.stage import PRETRAIN
from pretrain.start.inputs import open_inputs
from pretrain.training.checkpoint import Checkpoints
from pretrain.training.run import Run, pretrain
from pretrain.training.trainer import Trainer


def few_steps(spec: PretrainSpec, folder: Path, steps: int = 2) -> dict[str, torch.Tensor]:
    """`losses` and `norms` of the steps and every gradient of the first, but with the distributed optimizer, where no
    rank has them; complete on rank 0 only. Collective.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with process_groups(spec.parallel, spec.seed):
        run = Run(spec, open_inputs(spec, verify=False), Workspace(folder, folder, quiet=True))
        batches = run._batches(run.schedule[0])
        run.trainer.accumulate(batches, 0, 0)
        gradients = {} if spec.parallel.distributed_optimizer else gather_gradients(run)
        sums, norms = zip(*(run.trainer.step(batches, step, step) for step in range(steps)), strict=True)
        losses = torch.stack([global_sums.loss / global_sums.denominator for global_sums in map(Sums.over_ranks, sums)])
        return {"losses": losses, "norms": torch.stack(norms)} | gradients


@torch.no_grad()
def gather_gradients(run: Run) -> dict[str, torch.Tensor]:
    """The gradients in place of the weights, gathered as weights are."""
    parameters = list(run.trainer.model.parameters())
    weights = [parameter.clone() for parameter in parameters]
    for parameter in parameters:
        parameter.copy_(parameter.main_grad)
    gradients = dict(gather(run.trainer.model, run.inputs.architecture))
    for parameter, weight in zip(parameters, weights, strict=True):
        parameter.copy_(weight)
    return gradients


class Killed(BaseException):
    """Stands for a SIGKILL at a chosen moment."""


def train(spec: str, folder: Path, killed_after: int | None = None) -> None:
    """Train in a work folder, or until right after the checkpoint of a step. Collective."""
    torch.set_num_threads(1)
    save = Checkpoints.save

    def save_and_die(self: Checkpoints, step: int, state: dict[str, Any]) -> None:
        save(self, step, state)
        if step == killed_after:
            self.finish()
            raise Killed

    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(Killed), mock.patch.object(Checkpoints, "save", save_and_die):
        pretrain(PretrainSpec.model_validate_json(spec), Workspace(folder, folder / "store", quiet=True))


def train_after_a_long_check(spec: str, folder: Path, seconds: float) -> None:
    """Train where comparing the mixture with its checksums takes rank 0 that long. Collective."""
    opened = BuiltMixture.open

    def slowly(path: str, *, verify: bool = True) -> BuiltMixture:
        if verify:
            time.sleep(seconds)
            (folder / "checked").touch()
        return opened(path, verify=verify)

    with mock.patch.object(BuiltMixture, "open", slowly):
        train(spec, folder)


def fail_before_the_groups(folder: Path) -> None:
    """What every rank raises where the first cannot use the inputs."""

    def refuse() -> None:
        raise InputError("the mixture is damaged")

    try:
        with process_groups(ParallelSpec(), 0, first=refuse):
            pass
    except HormesisError as error:
        (folder / os.environ["RANK"]).write_text(str(error))


def wait_in_vain(folder: Path) -> None:
    """What the first rank raises where the second does not come to a collective."""
    try:
        with process_groups(ParallelSpec(), 0, timeout=2 / 60):
            dist.barrier()
            if dist.get_rank() == 0:
                dist.all_reduce(torch.ones(1))
            else:
                time.sleep(5)
    except HormesisError as error:
        (folder / os.environ["RANK"]).write_text(str(error))


def train_stage(spec: str, target: Path) -> None:
    """The whole stage, as the command line runs it: one of our errors ends the process with its code."""
    torch.set_num_threads(1)
    try:
        run_stage(PRETRAIN, PretrainSpec.model_validate_json(spec), target, quiet=True)
    except HormesisError as error:
        sys.exit(error.exit_code)


def save_few_steps(cases: dict[str, str], folder: Path) -> None:
    """What each case, a PretrainSpec in JSON, comes to: FOLDER/NAME.pt, written by rank 0."""
    torch.set_num_threads(1)
    for name, spec in cases.items():
        results = few_steps(PretrainSpec.model_validate_json(spec), folder / name)
        if int(os.environ.get("RANK", "0")) == 0:
            torch.save(results, folder / f"{name}.pt")


def break_gradients(monkeypatch: pytest.MonkeyPatch, first: int, last: int) -> None:
    """One gradient is not a number at the steps from `first` up to `last`."""
    accumulate = Trainer.accumulate

    def broken(self, batches, step, taken):
        sums = accumulate(self, batches, step, taken)
        if first <= taken < last:
            next(self.model.parameters()).main_grad[0, 0] = math.nan
        return sums

    monkeypatch.setattr(Trainer, "accumulate", broken)


def workspace(folder: Path) -> Workspace:
    """A quiet workspace in a folder that need not be there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    return Workspace(folder, folder / "store", quiet=True)


def weights(folder: Path) -> str:
    """Checksum of the exported weights."""
    return digest_file(folder / "hf" / "model.safetensors")


def log(folder: Path) -> list[dict]:
    """The lines of log.jsonl."""
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
