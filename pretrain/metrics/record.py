"""What a run tells: a line per interval in log.jsonl, on the terminal and in other logs, and the summary at its end."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from infra.artifacts.records import to_json
from infra.errors import JobError
from infra.render.html import duration
from infra.render.progress import say
from infra.stages.stage import Workspace
from pretrain.files import LOG
from pretrain.metrics.jsonl import Log, LogLine
from pretrain.metrics.sinks import Sink, open_sinks
from pretrain.metrics.summary import HeldOutCrossEntropy, TrainSummary
from pretrain.metrics.sums import Sums
from pretrain.runtime.device import device_name, peak_flops
from pretrain.runtime.distributed import is_first, world_size
from pretrain.spec import PretrainSpec
from pretrain.start.inputs import Inputs

_WORTH_TELLING = 0.02  # share of the time


@dataclass
class Progress:
    """How far a run is; part of every checkpoint. `totals` are flat global `Sums`."""

    step: int = 0
    seconds: float = 0.0
    skipped: int = 0
    totals: list[float] = field(default_factory=list)
    last: dict[str, Any] = field(default_factory=dict)
    """The last line of the log, as JSON: a checkpoint holds no classes of ours."""


class LogInterval:
    """Sums since the last line of the log, and the time they took."""

    def __init__(self, zero: Sums) -> None:
        self.sums = zero
        self.steps = 0
        self.checkpoint_seconds = 0.0
        self._started = time.monotonic()

    def add(self, sums: Sums) -> None:
        """A step that was taken."""
        self.sums = self.sums + sums
        self.steps += 1

    def skip(self) -> None:
        """A step of which nothing was learned."""
        self.steps += 1

    @contextlib.contextmanager
    def checkpointing(self) -> Iterator[None]:
        """Time that training waits for a checkpoint."""
        started = time.monotonic()
        yield
        self.checkpoint_seconds += time.monotonic() - started

    def seconds(self) -> float:
        """Time since the interval began."""
        return max(time.monotonic() - self._started, 1e-9)


class Record:
    """The log of one run, and what it adds up to; only the first rank writes."""

    def __init__(self, spec: PretrainSpec, inputs: Inputs, workspace: Workspace, levels: tuple[str, ...]) -> None:
        """`levels` are the names of the risk levels, in the order of `Sums`."""
        self.progress = Progress()
        self.steps = inputs.steps(spec)
        self.log = Log(workspace.path / LOG)
        self._spec, self._inputs, self._workspace, self._levels = spec, inputs, workspace, levels
        self._sinks: tuple[Sink, ...] = ()

    def open(self) -> None:
        """Begin, or go on where `progress` is: lines of steps that will be done again go."""
        if is_first():
            self.log.cut_after(self.progress.step)
            names, spec = self._spec.logs, self._spec
            config = spec.model_dump(mode="json")
            self._sinks = open_sinks(names, self._workspace.path, spec.name, config, self.progress.step)

    def close(self) -> None:
        """Write out what other logs hold back."""
        for sink in self._sinks:
            sink.close()

    def report(
        self, interval: LogInterval, rate: float, norm: float, held_out: Mapping[str, HeldOutCrossEntropy] | None
    ) -> None:
        """The line of an interval. Collective; raises JobError when the loss is not finite."""
        sums, seconds = interval.sums.over_ranks(), interval.seconds()
        loss = float(sums.loss / sums.denominator) if sums.denominator else None
        if loss is not None and not math.isfinite(loss):
            raise JobError(f"the loss is {loss} at step {self.progress.step} of {self.steps}; lower optimizer.lr")
        self._count(sums, seconds)
        speed = float(sums.tokens.sum()) / seconds
        line = LogLine(
            step=self.progress.step,
            loss=loss,
            lr=rate,
            grad_norm=norm if math.isfinite(norm) else None,
            tokens=int(self._totals().tokens.sum()),
            skipped_steps=self.progress.skipped,
            cross_entropy=means(self._inputs.components, sums.cross_entropy.sum(1), sums.tokens.sum(1)),
            cross_entropy_by_risk=self._by_risk(sums),
            tokens_per_second=round(speed, 1),
            mfu=self._mfu(speed),
            checkpoint_share=round(interval.checkpoint_seconds / seconds, 4),
            eta_seconds=round(seconds / interval.steps * (self.steps - self.progress.step), 1),
            held_out=None if held_out is None else _of_log(held_out),
        )
        self.progress.last = to_json(line)
        self._tell(line)

    def summary(self, held_out: dict[str, HeldOutCrossEntropy]) -> TrainSummary:
        """What `pretrain.json` says of the finished run."""
        totals = self._totals()
        tokens = int(totals.tokens.sum())
        by_component = zip(self._inputs.components, map(int, totals.tokens.sum(1).tolist()), strict=True)
        return TrainSummary(
            steps=self.steps,
            skipped_steps=self.progress.skipped,
            parameters=self._inputs.architecture.parameters,
            tokens=tokens,
            loss_tokens=int(totals.denominator),
            tokens_by_component=dict(by_component),
            cross_entropy={name: result.cross_entropy for name, result in held_out.items()},
            held_out=held_out,
            train_cross_entropy=self.progress.last["cross_entropy"],
            tokens_per_second=round(tokens / self.progress.seconds, 1),
            seconds=round(self.progress.seconds, 1),
            device=device_name(),
            ranks=world_size(),
        )

    def _count(self, sums: Sums, seconds: float) -> None:
        flat = sums.flat.tolist()
        self.progress.totals = [a + b for a, b in zip(self.progress.totals or [0.0] * len(flat), flat, strict=True)]
        self.progress.seconds += seconds

    def _totals(self) -> Sums:
        return Sums.from_flat(torch.tensor(self.progress.totals, dtype=torch.float64), len(self._inputs.components))

    def _by_risk(self, sums: Sums) -> dict[str, float]:
        """By risk level over all components; levels that the interval had no token of are left out."""
        by_level = means(self._levels, sums.cross_entropy.sum(0), sums.tokens.sum(0))
        return {name: value for name, value in by_level.items() if value is not None}

    def _mfu(self, tokens_per_second: float) -> float | None:
        """Share of the devices' peak that the model's own FLOPs take; None where the peak is not known."""
        peak = peak_flops()
        flops = self._inputs.architecture.flops_per_token(self._inputs.mixture.sequence_length) * tokens_per_second
        return None if peak is None else round(flops / (peak * world_size()), 4)

    def _tell(self, line: LogLine) -> None:
        if not is_first():
            return
        self.log.append(line)
        for sink in self._sinks:
            sink.write(self.progress.last)
        if not self._workspace.quiet:
            say(spoken(line, self.steps))


def _of_log(held_out: Mapping[str, HeldOutCrossEntropy]) -> dict[str, dict[str, float | None]]:
    return {
        name: {"cross_entropy": result.cross_entropy, "risky_cross_entropy": result.risky_cross_entropy}
        for name, result in held_out.items()
    }


def means(names: tuple[str, ...], nats: Tensor, tokens: Tensor) -> dict[str, float | None]:
    """Nats per token by name, of sums [names]; None where there is no token."""
    triples = zip(names, nats.tolist(), tokens.tolist(), strict=True)
    return {name: total / count if count else None for name, total, count in triples}


def spoken(line: LogLine, steps: int) -> str:
    """A line of the log as a person reads it."""
    phrases = [f"step {line.step:,} of {steps:,}"]
    phrases += [] if line.loss is None else [f"loss {line.loss:.4f}"]
    for by_name in (line.cross_entropy, line.cross_entropy_by_risk):
        phrases.append(", ".join(f"{name} {value:.3f}" for name, value in by_name.items() if value is not None))
    phrases += [f"{line.tokens_per_second:,.0f} tokens/s"]
    phrases += [] if line.mfu is None else [f"MFU {line.mfu:.1%}"]
    if line.checkpoint_share >= _WORTH_TELLING:
        phrases.append(f"{line.checkpoint_share:.0%} of the time for checkpoints")
    phrases += [f"{line.skipped_steps} skipped"] if line.skipped_steps else []
    for name, result in (line.held_out or {}).items():
        phrases.append(f"held out, {name} {result['cross_entropy']:.3f}")
    return " · ".join([*filter(None, phrases), f"ETA {duration(line.eta_seconds)}"])
