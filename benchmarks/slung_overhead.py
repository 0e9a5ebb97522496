"""What reading a risk byte per token and applying a loss policy costs a training step.

    python -m benchmarks.slung_overhead [--preset olmo-tiny] [--vocabulary 4096] [--rounds 40]

The floor is the same trainer with a plain sum of cross-entropies: no risk, no table, no figures by component and level.
Policies follow each other in one process and are compared step by step. The second table counts the operations that
touch a tensor as large as the logits: a policy must not add one. Leaves with 1 when a policy costs 1 % or more.
"""

from __future__ import annotations

import sys
from collections import Counter
from functools import partial
from unittest import mock

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.paired import OneBatch, Size, parse, ratio, seconds
from pretrain.distributed import process_groups
from pretrain.loss import LossPolicy
from pretrain.loss_spec import LossSpec
from pretrain.trainer import Trainer
from pretrain.weights import initialise

LIMIT = 1.01
POLICIES = {
    "keep": LossSpec(),
    "mask": LossSpec(policy="mask"),
    "unlikelihood": LossSpec(policy="unlikelihood"),
    "slung-masked": LossSpec(preset="slung-masked"),
    "slung-unlikelihood": LossSpec(preset="slung-unlikelihood"),
}


def plain_loss(_batch: object, cross_entropy: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """What a trainer without policies does."""
    count = torch.tensor(cross_entropy.numel(), dtype=torch.int, device=cross_entropy.device)
    return cross_entropy.sum(), count, cross_entropy.detach().sum()[None]


class Arms:
    """One trainer, whose policy is changed between steps."""

    def __init__(self, size: Size) -> None:
        self.size = size
        fill = partial(initialise, shape=size.shape, seed=0)
        self.policies = {name: LossPolicy.of(spec, ["all"], 1) for name, spec in POLICIES.items()}
        self.trainer = Trainer(size.spec(), size.shape, self.policies["keep"], fill, replacement=0, steps=100_000)
        self.batches = OneBatch(size, self.trainer.device)

    def floor(self) -> None:
        """A step without any policy."""
        with (
            mock.patch.object(self.trainer, "_loss", plain_loss),
            mock.patch.object(self.trainer, "accumulate", self._plain_accumulate),
        ):
            self.trainer.step(self.batches, 0)

    def _plain_accumulate(self, batches: OneBatch, step: int) -> None:
        self.trainer.wrapped.zero_grad_buffer()
        self.trainer.optimizer.zero_grad()
        self.trainer._schedule(batches, step, self.trainer._training_step, forward_only=False)

    def step(self, name: str) -> None:
        """A step under a policy."""
        self.trainer.policy = self.policies[name].to(self.trainer.device)
        self.trainer.step(self.batches, 0)

    def large_operations(self, name: str) -> int:
        """Operations of a step on a tensor of the size of the logits."""
        logits = self.size.tokens * self.size.shape.vocab_size
        with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as found:
            self.floor() if name == "floor" else self.step(name)
        counted: Counter[str] = Counter()
        for event in found.events():
            if any(_numel(shape) == logits for shape in event.input_shapes or ()):
                counted[event.name] += 1
        return sum(counted.values())


def _numel(shape: object) -> int:
    return int(torch.Size(shape).numel()) if isinstance(shape, list) and all(isinstance(n, int) for n in shape) else 0


def main() -> int:
    """Measure, and print a table."""
    said, size = parse(__doc__ or "")
    with process_groups(size.spec().parallel, 0):
        arms = Arms(size)
        took = seconds({"floor": arms.floor} | {name: partial(arms.step, name) for name in POLICIES}, said.rounds)
        large = {name: arms.large_operations(name) for name in took}
    print(f"# What a loss policy costs\n\n{size}; {said.rounds} rounds\n")
    print("| policy | step, ms | against the floor | 95 % interval | operations on logits |\n|---|---|---|---|---|")
    worst = 0.0
    for name, values in took.items():
        middle, low, high = ratio(values, took["floor"])
        worst = max(worst, middle)
        milliseconds = 1000 * float(torch.tensor(values).median())
        print(f"| {name} | {milliseconds:.1f} | {middle:.4f} | {low:.4f} – {high:.4f} | {large[name]} |")
    more = [name for name in large if large[name] > large["floor"]]
    print(f"\nlimit {LIMIT}: {'held' if worst < LIMIT and not more else 'NOT HELD'}")
    return int(worst >= LIMIT or bool(more))


if __name__ == "__main__":
    sys.exit(main())
