"""What reading a risk byte per token and applying a loss policy costs a training step.

    python -m benchmarks.training.slung_overhead [--preset olmo-tiny] [--vocabulary 4096] [--rounds 40]

The floor is the same trainer with a plain sum of cross-entropies: no risk, no table, no figures by component and level.
Policies follow each other in one process and are compared step by step; the interval of that ratio is as wide as the
machine is unquiet. So what a policy does beyond the floor, which is all in the loss function and the choice of inputs,
is timed on its own too, hundreds of times, forward and backward: its share of a step is what the limit is held to, and
the whole step must not contradict it. The last column counts the operations that touch a tensor as large as the logits:
a policy must not add one. Leaves with 1 when a policy costs 1 % or more.
"""

from __future__ import annotations

import sys
from collections import Counter
from functools import partial
from unittest import mock

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.training.paired import OneBatch, Size, parse, ratio, seconds
from pretrain.loss.policy import LossPolicy
from pretrain.loss.spec import LossSpec
from pretrain.model.weights import initialise
from pretrain.runtime.distributed import process_groups
from pretrain.training.trainer import Trainer

LIMIT = 0.01
POLICIES = {
    "keep": LossSpec(),
    "mask": LossSpec(policy="mask"),
    "unlikelihood": LossSpec(policy="unlikelihood"),
    "slung-masked": LossSpec(preset="slung-masked"),
    "slung-unlikelihood": LossSpec(preset="slung-unlikelihood"),
}


def plain_loss(
    _batch: object, _table: object, cross_entropy: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """What a trainer without policies does."""
    count = torch.tensor(cross_entropy.numel(), dtype=torch.int, device=cross_entropy.device)
    return cross_entropy.sum(), count, cross_entropy.detach().sum()[None]


class Arms:
    """One trainer, whose policy is changed between steps."""

    def __init__(self, size: Size) -> None:
        self.size = size
        fill = partial(initialise, architecture=size.architecture, seed=0)
        self.policies = {name: LossPolicy.from_spec(spec, ["all"], 1) for name, spec in POLICIES.items()}
        self.trainer = Trainer(
            size.spec(), size.architecture, self.policies["keep"], fill, replacement=0, steps=100_000
        )
        self.batches = OneBatch(size, self.trainer.device)
        self.nats = torch.rand(size.rows, size.sequence, device=self.trainer.device) * 8

    def floor(self) -> None:
        """A step without any policy."""
        with (
            mock.patch.object(self.trainer, "_loss", plain_loss),
            mock.patch.object(self.trainer, "accumulate", self._plain_accumulate),
        ):
            self.trainer.step(self.batches, 0, 0)

    def _plain_accumulate(self, batches: OneBatch, step: int, taken: int) -> None:
        self.trainer.wrapped.zero_grad_buffer()
        self.trainer.optimizer.zero_grad()
        forward = partial(self.trainer._training_step, self.trainer.policy.at(taken))
        self.trainer._pipeline(batches, step, forward, forward_only=False)

    def step(self, name: str) -> None:
        """A step under a policy."""
        self.trainer.policy = self.policies[name].to(self.trainer.device)
        self.trainer.step(self.batches, 0, 0)

    def alone(self, name: str) -> None:
        """What comes before the first layer and after the head in a step, forward and backward, and nothing else."""
        batch, trainer = self.batches.batch, self.trainer
        nats = self.nats.detach().requires_grad_()
        if name == "floor":
            loss, _, _ = plain_loss(batch, None, nats)
        else:
            trainer.policy = self.policies[name].to(trainer.device)
            table = trainer.policy.at(0)
            trainer._inputs(batch, table)
            loss, _, _ = trainer._loss(batch, table, nats)
        loss.backward()

    def large_operations(self, name: str) -> int:
        """Operations of a step on a tensor of the size of the logits."""
        logits = self.size.tokens * self.size.architecture.vocab_size
        with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as profiled:
            self.floor() if name == "floor" else self.step(name)
        counted: Counter[str] = Counter()
        for event in profiled.events():
            if any(_numel(shape) == logits for shape in event.input_shapes or ()):
                counted[event.name] += 1
        return sum(counted.values())


def _numel(shape: object) -> int:
    return int(torch.Size(shape).numel()) if isinstance(shape, list) and all(isinstance(n, int) for n in shape) else 0


def main() -> int:
    """Measure, and print a table."""
    options, size = parse(__doc__ or "")
    with process_groups(size.spec().parallel, 0):
        arms = Arms(size)
        took = seconds({"floor": arms.floor} | {name: partial(arms.step, name) for name in POLICIES}, options.rounds)
        alone = seconds({name: partial(arms.alone, name) for name in took}, 10 * options.rounds)
        large = {name: arms.large_operations(name) for name in took}
    print(f"# What a loss policy costs\n\n{size}; {options.rounds} rounds\n")
    print("| policy | step, ms | its own work, ms | share of a step | step against the floor | 95 % interval "
          "| operations on logits |\n|---|---|---|---|---|---|---|")  # fmt: skip
    step = float(np.median(took["floor"]))
    missed = []
    for name, values in took.items():
        middle, low, high = ratio(values, took["floor"])
        cost = float(np.median(alone[name] - alone["floor"]))
        print(f"| {name} | {1000 * np.median(values):.1f} | {1000 * cost:.3f} | {cost / step:.3%} | {middle:.4f} "
              f"| {low:.4f} – {high:.4f} | {large[name]} |")  # fmt: skip
        if cost / step >= LIMIT or low >= 1 + LIMIT or large[name] > large["floor"]:
            missed.append(name)
    print(f"\nlimit {LIMIT:.0%} of a step: {'NOT HELD by ' + ', '.join(missed) if missed else 'held'}")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
