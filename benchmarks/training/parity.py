"""Losses and gradient norms of a few fp32 steps under every loss policy, on a GPU and on the CPU of the same machine.

    python -m benchmarks.training.parity [--steps 8]

The CPU's are computed in a process that sees no GPU, so both come from the same PyTorch: initial weights are drawn on
the CPU and differ between versions of it. Leaves with 1 where a relative difference is above 1e-5.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from functools import partial

import numpy as np
import torch

from benchmarks.training.paired import OneBatch, Size
from pretrain.loss.policy import LossPolicy
from pretrain.loss.spec import LossSpec
from pretrain.model.architecture import Architecture
from pretrain.model.weights import initialise
from pretrain.runtime.device import device_name
from pretrain.runtime.distributed import process_groups
from pretrain.spec import ModelSpec
from pretrain.training.trainer import Trainer

LIMIT = 1e-5
POLICIES = ("keep", "mask", "unlikelihood", "remove")


def measure(steps: int) -> dict[str, list[tuple[float, float]]]:
    """Loss and gradient norm of every step, by policy, on this process's device."""
    size = Size(Architecture.from_spec(ModelSpec(preset="olmo-tiny"), 4096, 256), 256, 8, "fp32")
    fill = partial(initialise, architecture=size.architecture, seed=0)
    measured = {}
    with process_groups(size.spec().parallel, 0):
        for name in POLICIES:
            policy = LossPolicy.from_spec(LossSpec(policy=name), ["all"], 1)
            trainer = Trainer(size.spec(), size.architecture, policy, fill, replacement=0, steps=20)
            batches = OneBatch(size, trainer.device)
            taken = [trainer.step(batches, 0, step) for step in range(steps)]
            measured[name] = [(float(sums.loss / sums.denominator), float(norm)) for sums, norm in taken]
    return measured


def on_the_cpu(steps: int) -> dict[str, list[tuple[float, float]]]:
    """The same in a process of its own that has no GPU."""
    command = [sys.executable, "-m", "benchmarks.training.parity", "--steps", str(steps), "--print"]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603
    result: dict[str, list[tuple[float, float]]] = json.loads(done.stdout)
    return result


def main() -> int:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--print", action="store_true", help="print this device's figures as JSON and nothing else")
    options = parser.parse_args()
    on_device = measure(options.steps)
    if options.print:
        print(json.dumps(on_device))
        return 0
    on_cpu = on_the_cpu(options.steps)
    print(f"# Parity\n\n{options.steps} fp32 steps on {device_name()} against the CPU, PyTorch {torch.__version__}\n")
    print("| policy | largest relative difference of losses | of gradient norms |\n|---|---|---|")
    largest = 0.0
    for name in POLICIES:
        ours, theirs = np.array(on_device[name]), np.array(on_cpu[name])
        differences = np.abs(ours / theirs - 1).max(axis=0)
        print(f"| {name} | {differences[0]:.1e} | {differences[1]:.1e} |")
        largest = max(largest, float(differences.max()))
    return int(largest > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
