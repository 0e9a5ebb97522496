"""Training steps of several arms in one process, in turn, so that whatever else the machine does meets all alike."""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from pretrain.data.epoch import Batch
from pretrain.model.architecture import Architecture
from pretrain.runtime.device import device_name
from pretrain.spec import ModelSpec, OptimizerSpec, PretrainSpec

Arm = Callable[[], object]


@dataclass(frozen=True)
class Size:
    """What is trained: the architecture, and the tokens of a step."""

    architecture: Architecture
    sequence: int
    rows: int
    precision: str
    micro_batches: int = 1

    @property
    def tokens(self) -> int:
        """Target tokens of a step."""
        return self.sequence * self.rows * self.micro_batches

    def spec(self) -> PretrainSpec:
        """A run of that size; its mixture is never read."""
        return PretrainSpec(
            name="benchmark",
            mixture="none",
            micro_batch_size=self.rows,
            global_batch_size=self.rows * self.micro_batches,
            precision=self.precision,
            optimizer=OptimizerSpec(lr=1e-4),
        )

    def __str__(self) -> str:
        architecture = self.architecture
        return (
            f"{architecture.parameters:,} parameters ({architecture.num_layers} × {architecture.hidden_size}, "
            f"vocabulary {architecture.vocab_size:,}), {self.micro_batches} × {self.rows} × {self.sequence} tokens "
            f"a step, {self.precision}, "
            f"{device_name()}"
        )


def parse(description: str) -> tuple[argparse.Namespace, Size]:
    """Command-line options that both benchmarks have."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--preset", default="olmo-tiny")
    parser.add_argument("--vocabulary", type=int, default=4096)
    parser.add_argument("--sequence", type=int, default=256)
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16", "fp8"))
    parser.add_argument("--micro-batches", type=int, default=1, help="forward and backward passes of a step")
    parser.add_argument("--rounds", type=int, default=40)
    options = parser.parse_args()
    architecture = Architecture.from_spec(ModelSpec(preset=options.preset), options.vocabulary, options.sequence)
    return options, Size(architecture, options.sequence, options.rows, options.precision, options.micro_batches)


def batch(size: Size, device: torch.device) -> Batch:
    """Random tokens, a third of them risky, at every level."""
    draw = torch.Generator().manual_seed(0)
    text = torch.randint(0, size.architecture.vocab_size, (size.rows, size.sequence + 1), generator=draw)
    levels = torch.randint(2, 255, text.shape, generator=draw)
    risk = torch.where(torch.rand(text.shape, generator=draw) < 0.33, levels, 1).to(torch.uint8)
    text, risk = text.to(device), risk.to(device)
    inputs, targets = text[:, :-1].contiguous(), text[:, 1:].contiguous()
    component = torch.zeros_like(targets)
    return Batch(inputs, targets, risk[:, :-1], risk[:, 1:].contiguous(), component, component, None)


class OneBatch:
    """Stands for `pretrain.data.epoch.Batches`: every step is the same batch, which lies in memory."""

    def __init__(self, size: Size, device: torch.device) -> None:
        self.batch = batch(size, device)
        self._samples = [range(size.rows)] * size.micro_batches
        self.micro_size = size.rows
        self.sequence_length = size.sequence

    def micro_batches(self, _step: int) -> list[range]:
        """The same rows so many times."""
        return self._samples

    def read(self, _step: int, _device: torch.device) -> Iterator[Batch]:
        """The batch, so many times."""
        yield from [self.batch] * len(self._samples)


def seconds(arms: Mapping[str, Arm], rounds: int) -> dict[str, np.ndarray]:
    """Seconds of every round's step of each arm, in an order drawn anew for each round; two rounds warm up.

    On a CPU these are seconds of the processor, so that neighbours on the machine do not count.
    """
    order, chance = list(arms), random.Random(0)
    measured: dict[str, list[float]] = {name: [] for name in arms}
    for number in range(rounds + 2):
        chance.shuffle(order)
        for name in order:
            taken = _time(arms[name])
            if number >= 2:
                measured[name].append(taken)
    return {name: np.array(values) for name, values in measured.items()}


def ratio(slow: np.ndarray, fast: np.ndarray) -> tuple[float, float, float]:
    """Median of the paired ratios, with a 95 % bootstrap interval."""
    ratios = slow / fast
    draws = np.random.default_rng(0).choice(ratios, (2000, len(ratios)))
    low, high = np.percentile(np.median(draws, axis=1), [2.5, 97.5])
    return float(np.median(ratios)), float(low), float(high)


def _time(arm: Arm) -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    clock = time.perf_counter if torch.cuda.is_available() else time.process_time
    start = clock()
    arm()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return clock() - start
